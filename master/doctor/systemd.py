"""What systemd knows, and whether the unit that runs the proxy lets it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from master.doctor import limits
from master.doctor.finding import Finding

NOTIFY_RELOAD = 253
DEADLINE = 5.0
REWRITE = "`proxyctl systemd install` writes a unit that has it"
_ASKED = (
    "LoadState", "ActiveState", "Result", "NeedDaemonReload", "Type",
    "FileDescriptorStoreMax", "WatchdogUSec", "LimitNOFILE",
)  # fmt: skip


def check(text: str | None) -> Finding:
    """`text` is what `systemctl --version` prints; None if there is no systemd."""
    version = number(text)
    if version is None:
        return Finding("systemd", "ok", "not here: nothing to adapt to")
    if version >= NOTIFY_RELOAD:
        return Finding("systemd", "ok", f"version {version} knows Type=notify-reload")
    return Finding(
        "systemd", "ok", f"version {version}: units have Type=notify ({NOTIFY_RELOAD} brought notify-reload)"
    )


def number(text: str | None) -> int | None:
    """The version in what `systemctl --version` prints."""
    found = re.match(r"systemd (\d+)", text or "")
    return int(found[1]) if found else None


def version() -> str | None:
    """What `systemctl --version` prints, None if there is none."""
    return _ask("--version")


def unit_of(pid: int) -> str | None:
    """The service that process `pid` belongs to."""
    try:
        group = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"([^/\n]+\.service)(?:/|$)", group)
    return found[1] if found else None


def properties(unit: str) -> dict[str, str] | None:
    """What systemd says of a unit; None if there is no systemd, or no such unit."""
    text = _ask("show", unit, *(f"--property={name}" for name in _ASKED)) or ""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return found if found.get("LoadState") == "loaded" else None


def service(unit: str, found: Mapping[str, str]) -> Iterator[Finding]:
    """What the `properties` of the unit that runs us deny it."""
    complaints = [*_state(unit, found), *_settings(found)]
    for text, remedy in complaints:
        yield Finding(unit, "warning", text, remedy)
    if not complaints:
        yield Finding(unit, "ok", "systemd waits for it, watches it, and keeps its sockets")
    if (hard := found.get("LimitNOFILE", "")).isdigit():
        yield limits.open_files(int(hard))._replace(check=f"{unit}: open files")


def _state(unit: str, found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if found.get("NeedDaemonReload") == "yes":
        yield "the unit on disk is newer than the one that systemd uses", "`systemctl daemon-reload`"
    if found.get("ActiveState") == "failed":
        yield f"it failed ({found.get('Result')})", f"`journalctl -u {unit} -e` says why"


def _settings(found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if not found.get("Type", "").startswith("notify"):
        yield f"Type={found.get('Type')}: systemd takes it for started before it serves", REWRITE
    if found.get("FileDescriptorStoreMax", "0") == "0":
        yield (
            "no FileDescriptorStoreMax=: `systemctl restart` and a crash of the supervisor refuse connections",
            REWRITE,
        )
    if found.get("WatchdogUSec", "0") in ("0", "infinity"):
        yield "no WatchdogSec=: nobody restarts a supervisor that hangs", REWRITE


def _ask(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=DEADLINE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout
