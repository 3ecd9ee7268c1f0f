"""One thing that is wrong, or not supported, in a configuration."""

from __future__ import annotations

import dataclasses
from typing import Literal

Kind = Literal[
    "syntax", "unknown_field", "type", "enum", "missing_type", "constraint", "reference", "duplicate", "address",
    "unsupported", "file",
]  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """A place in a source; line and column count from 1, the column in characters."""

    file: str
    line: int
    column: int


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """`path` is the way to the value from the root, in the source's own spelling: field names and list indexes.

    `message` says what is wrong; `expected` what would be right; `suggestion` the nearest valid name, if one is near.
    Positions are looked up from `path` only once there is something to report (DESIGN §3);
    `position` is set where a path cannot tell: a syntax error, or an error in one of several merged sources.
    """

    kind: Kind
    path: tuple[str | int, ...]
    message: str
    expected: str = ""
    suggestion: str = ""
    severity: Literal["error", "warning"] = "error"
    position: Position | None = None

    @property
    def field_path(self) -> str:
        """`static_resources.listeners[0].name`."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
        return text
