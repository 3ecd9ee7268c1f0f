"""`/etc/resolv.conf` as glibc reads it (resolv.conf(5)): pure parsing, and the names that a lookup tries in turn."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

DEFAULT_NAMESERVERS: Final = ("127.0.0.1",)
MAX_NAMESERVERS: Final = 3  # MAXNS
MAX_SEARCH: Final = 32
MAX_NDOTS: Final = 15
MAX_TIMEOUT: Final = 30
MAX_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """Whom to ask and what to append. `timeout` in seconds, for one question to one server."""

    nameservers: tuple[str, ...] = DEFAULT_NAMESERVERS
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout: int = 5
    attempts: int = 2

    def candidates(self, name: str) -> tuple[str, ...]:
        """The absolute names (without the final dot) to look up for `name`, in order."""
        if name.endswith("."):
            return (name[:-1],)
        searched = tuple(f"{name}.{domain}" for domain in self.search)
        return (name, *searched) if name.count(".") >= self.ndots else (*searched, name)


def parse(text: str, hostname: str = "") -> ResolvConf:
    """What a resolv.conf says. Lines that make no sense are ignored, figures are cut to glibc's limits.

    Without `search` or `domain` the domain of `hostname` is searched; without a name server 127.0.0.1 is asked.
    """
    nameservers: list[str] = []
    search: tuple[str, ...] = (hostname.partition(".")[2],) if "." in hostname else ()
    options = {"ndots": 1, "timeout": 5, "attempts": 2}
    for line in text.splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "nameserver" and values and _is_address(values[0]):
            nameservers.append(values[0])
        elif keyword == "domain" and values:
            search = tuple(values[:1])
        elif keyword == "search" and values:  # of several lines the last one counts
            search = tuple(values[:MAX_SEARCH])
        elif keyword == "options":
            for option in values:
                name, _, figure = option.partition(":")
                if name in options and figure.isdecimal():
                    options[name] = int(figure[:9])
    return ResolvConf(
        nameservers=tuple(nameservers[:MAX_NAMESERVERS]) or DEFAULT_NAMESERVERS,
        search=tuple(domain for domain in (part.strip(".") for part in search) if domain),
        ndots=min(options["ndots"], MAX_NDOTS),
        timeout=min(max(options["timeout"], 1), MAX_TIMEOUT),
        attempts=min(max(options["attempts"], 1), MAX_ATTEMPTS),
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
