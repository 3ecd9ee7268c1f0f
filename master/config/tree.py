"""What a parsed source is: a tree of dict, list, str, int, float, bool and None, within limits."""

from __future__ import annotations

import dataclasses
from typing import Any

from master.config.finding import Finding, Position

# protobuf's JSON parser stops here too.
MAX_DEPTH = 100
# Aliases share memory here, but become copies in the message: the "billion laughs" of users.md §4.
MAX_ALIASED_VALUES = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Parsed:
    """The tree of one source, or what is wrong with its text. `root` is None when there is no tree."""

    root: dict[str, Any] | None
    findings: tuple[Finding, ...]


def syntax(source: str, line: int, column: int, message: str, expected: str = "") -> Finding:
    """A syntax error; `line` and `column` count from 0, as parsers have it."""
    return Finding("syntax", (), message, expected, position=Position(source, line + 1, column + 1))


def duplicate(source: str, line: int, column: int, path: tuple[str | int, ...]) -> Finding:
    return Finding(
        "duplicate",
        path,
        f'"{path[-1]}" is set twice',
        "each name once",
        position=Position(source, line + 1, column + 1),
    )
