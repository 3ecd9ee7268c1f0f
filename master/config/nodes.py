"""The positions of the values of one source, as a tree that a path leads through."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """A value at `line` and `column` (from 0), which are those of its key where it has one."""

    line: int
    column: int
    children: list[tuple[str | int, Node]]

    def child(self, name: str | int) -> Node | None:
        """The last child called `name`, or else the last with the other spelling of that field."""
        folded = _fold(name)
        same = (node for key, node in reversed(self.children) if key == name)
        alike = (node for key, node in reversed(self.children) if _fold(key) == folded)
        return next(same, None) or next(alike, None)


def _fold(name: str | int) -> str:
    return str(name).replace("_", "").lower()
