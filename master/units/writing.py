"""Putting units where systemd reads them. What somebody else wrote is never replaced."""

from __future__ import annotations

from pathlib import Path

OURS = "# Written by `proxyctl systemd install`"


class ForeignUnitError(Exception):
    """A unit of that name is there, and we did not write it."""


def write(directory: Path, units: dict[str, str]) -> list[str]:
    """Writes each unit that is new or differs, all or none; returns their names. Raises `OSError` too."""
    changed = {name: text for name, text in units.items() if _differs(directory / name, text)}
    for name, text in changed.items():
        new = directory / f".{name}.new"
        new.write_text(text, encoding="utf-8")
        new.chmod(0o644)
    for name in changed:
        (directory / f".{name}.new").replace(directory / name)
    return list(changed)


def _differs(path: Path, text: str) -> bool:
    try:
        old = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return True
    if not old.startswith(OURS):
        raise ForeignUnitError(f"{path} was not written by this command; move it away, or choose another --name")
    return old != text
