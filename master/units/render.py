"""The text of our units for systemd. Pure but for reading the templates beside this file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

NOTIFY_RELOAD = 253  # the first systemd that waits for the end of a reload; older ones take an unknown Type= for simple
STOP_MARGIN = 15.0  # seconds beyond the drain for the supervisor to end everything itself
PRIVATE_HOMES = ("/home", "/root", "/run/user")


@dataclass(frozen=True, slots=True)
class Settings:
    """Paths are absolute. `options` go to `validate` and `run`, `run_options` to `run` alone. `user` "": made up."""

    name: str
    version: int  # of systemd
    proxyctl: str
    config: str
    options: Sequence[str] = ()
    run_options: Sequence[str] = ()
    user: str = ""
    drain_time: float = 30.0  # seconds that a stop may take
    listen: Sequence[str] = ()  # ListenStream= values of the .socket unit; none: no such unit


def units(settings: Settings) -> dict[str, str]:
    """Unit name → text."""
    socket = f"{settings.name}.socket"
    words = {
        "NAME": settings.name,
        "CONFIG": _quote(settings.config),
        "PROXYCTL": _quote(settings.proxyctl),
        "BOTH": "".join(f" {_quote(option)}" for option in settings.options),
        "RUN": "".join(f" {_quote(option)}" for option in settings.run_options),
        "TYPE": "notify-reload" if settings.version >= NOTIFY_RELOAD else "notify",
        "RELOAD": "ReloadSignal=SIGHUP" if settings.version >= NOTIFY_RELOAD else "ExecReload=/bin/kill -HUP $MAINPID",
        "STOP": f"{settings.drain_time + STOP_MARGIN:.0f}",
        "IDENTITY": f"User={settings.user}" if settings.user else "DynamicUser=yes",
        "PROTECT_HOME": "read-only" if _needs_homes(settings) else "yes",
        "WANTS": f" {socket}" if settings.listen else "",
        "ALSO": f"\nAlso={socket}" if settings.listen else "",
        "LISTEN": "\n".join("ListenStream=" + address.replace("%", "%%") for address in settings.listen),
    }
    found = {f"{settings.name}.service": _fill("trireme.service", words)}
    if settings.listen:
        found[socket] = _fill("trireme.socket", words)
    return found


def _fill(template: str, words: dict[str, str]) -> str:
    text = resources.files(__package__).joinpath(template).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z_]+)@", lambda found: words[found[1]], text)


def _needs_homes(settings: Settings) -> bool:
    paths = (settings.proxyctl, settings.config, *settings.options, *settings.run_options)
    return any(path == home or path.startswith(f"{home}/") for path in paths for home in PRIVATE_HOMES)


def _quote(word: str) -> str:
    """One word of a command line, as systemd.service(5) and systemd.syntax(7) take it apart."""
    escaped = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"')
    escaped = "".join(f"\\x{ord(c):02x}" if ord(c) < 32 else c for c in escaped)
    return f'"{escaped}"' if not word or re.search(r"[\s'\";\\]", word) else escaped
