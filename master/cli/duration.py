"""Times on the command line: `60s`, `5m`, `1h`."""

from __future__ import annotations

import re

import click

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> float:
    """The type of an option."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no time; write 60s, 5m or 1h")
    return float(match[1]) * UNITS[match[2]]
