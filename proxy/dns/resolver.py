"""Looks names up as the machine's own resolver would: hosts file, `localhost`, then DNS with the search list.

On trio, without threads: `getaddrinfo` neither tells a TTL nor can be cancelled.
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver
import trio

from proxy.config.dns import MACHINE, DnsResolver, LookupFamily
from proxy.dns import hosts_file, resolv_conf
from proxy.dns.family import RecordType, resolve_family
from proxy.dns.resolv_conf import ResolvConf
from proxy.dns.result import Answer, Failed, Failure, Resolved, Result

LOOKUP_DEADLINE: Final = 30.0  # seconds, for all that one lookup asks
MAX_LOOKUPS: Final = 64  # at a time; others wait, their deadline has not begun
MAX_ADDRESSES: Final = 1_024  # of one record type; what an answer holds beyond is left out
MAX_FILE_BYTES: Final = 4 * 1024 * 1024

_VERSION: Final[dict[RecordType, int]] = {"A": 4, "AAAA": 6}
_LOOPBACK: Final[dict[RecordType, str]] = {"A": "127.0.0.1", "AAAA": "::1"}  # RFC 6761 §6.3

Parsed = TypeVar("Parsed")


class Resolver:
    """Both files are read again when they change; `how` says what counts instead of what they say. `port` is that of
    resolv.conf's name servers. Durations in seconds.
    """

    def __init__(
        self,
        how: DnsResolver = MACHINE,
        *,
        resolv_conf_path: Path = Path("/etc/resolv.conf"),
        hosts_path: Path = Path("/etc/hosts"),
        port: int = 53,
        deadline: float = LOOKUP_DEADLINE,
    ) -> None:
        hostname = socket.gethostname()
        self._conf = _File(resolv_conf_path, lambda text: resolv_conf.parse(text, hostname))
        self._hosts = _File(hosts_path, hosts_file.parse)
        self._how = how
        self._port = port
        self._turns = itertools.count()
        self._deadline = deadline
        self._limiter = trio.CapacityLimiter(MAX_LOOKUPS)

    async def lookup(self, name: str, family: LookupFamily) -> Result:
        """The addresses of `name`, which may be numeric. Never raises because of what servers answer."""
        if (numeric := _numeric(name)) is not None:
            return Resolved((Answer(numeric),))
        plain = name.lower().rstrip(".")
        known = self._hosts.content().get(plain, ())
        if plain == "localhost" or plain.endswith(".localhost"):
            # c-ares, Envoy's resolver, adds the loopback address of a family for which the file has none.
            return await resolve_family(family, lambda kind: _known(_of_type(known, kind) or (_LOOPBACK[kind],)))
        if known:  # DNS is not asked for the other family either, as in glibc
            return await resolve_family(family, lambda kind: _known(_of_type(known, kind)))
        conf = self._conf.content()
        async with self._limiter:
            with trio.move_on_after(self._deadline):
                return await resolve_family(family, lambda kind: self._search(conf, name, kind))
        return Failed(Failure.TIMEOUT, f"{name}: no answer within {self._deadline:g} s")

    async def _search(self, conf: ResolvConf, name: str, record_type: RecordType) -> Result:
        """Tries the names of the search list until one has addresses.

        As in glibc, neither "no such name" nor a failure ends the search; but a failure on the way means that the
        whole search has no verdict.
        """
        failed: Failed | None = None
        for candidate in conf.candidates(name) if self._how.search else (name,):
            result = await self._ask(conf, candidate, record_type)
            if isinstance(result, Failed):
                failed = failed or result
            elif result.answers:
                return result
        return failed or Resolved()

    async def _ask(self, conf: ResolvConf, name: str, record_type: RecordType) -> Result:
        """Asks the name servers for one absolute name."""
        try:
            question = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError) as error:
            return Failed(Failure.BAD_NAME, f"{name}: {error}")
        servers = self._servers(conf)
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = servers
        resolver.timeout = self._how.timeout or conf.timeout
        resolver.lifetime = resolver.timeout * (self._how.tries or conf.attempts) * len(servers)
        try:
            found = await resolver.resolve(question, record_type, raise_on_no_answer=False, tcp=self._how.tcp)
        except dns.resolver.NXDOMAIN:
            return Resolved()
        except dns.exception.Timeout as error:
            return Failed(Failure.TIMEOUT, f"{name}: {error}")
        except (dns.exception.DNSException, OSError) as error:
            return Failed(Failure.SERVER_FAILURE, f"{name}: {error}")
        if found.rrset is None:
            return Resolved()
        ttl = found.chaining_result.minimum_ttl  # of the addresses and of the CNAMEs that led to them
        addresses = dict.fromkeys(record.address for record in found.rrset)
        return Resolved(tuple(Answer(address, ttl) for address in list(addresses)[:MAX_ADDRESSES]))

    def _servers(self, conf: ResolvConf) -> list[dns.nameserver.Nameserver]:
        """Whom to ask, in this order."""
        known = [(server, self._port) for server in conf.nameservers]
        own = [(server.host, server.port) for server in self._how.servers]
        # Who comes in where resolv.conf names nobody also does if it names nobody but this machine, as in Envoy.
        named = conf.nameservers != resolv_conf.DEFAULT_NAMESERVERS
        asked = own if own and not (self._how.fallback and named) else known
        first = next(self._turns) % len(asked) if self._how.rotate else 0
        return [dns.nameserver.Do53Nameserver(*server) for server in asked[first:] + asked[:first]]


class _File(Generic[Parsed]):
    """A small text file, parsed again when it changes. A missing or unreadable file counts as empty."""

    def __init__(self, path: Path, parse: Callable[[str], Parsed]) -> None:
        self._path = path
        self._parse = parse
        self._seen: tuple[int, ...] | None = None
        self._content = parse("")

    def content(self) -> Parsed:
        try:
            status = self._path.stat()
            seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if seen != self._seen:
                with self._path.open("rb") as file:
                    text = os.fsdecode(file.read(MAX_FILE_BYTES))
                self._content, self._seen = self._parse(text), seen
        except OSError:
            self._content, self._seen = self._parse(""), None
        return self._content


def _of_type(addresses: tuple[str, ...], record_type: RecordType) -> tuple[str, ...]:
    version = _VERSION[record_type]
    return tuple(address for address in addresses if ipaddress.ip_address(address).version == version)


async def _known(addresses: tuple[str, ...]) -> Result:
    return Resolved(tuple(Answer(address) for address in addresses))


def _numeric(name: str) -> str | None:
    """`name` if it is an address, in canonical form."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return None
