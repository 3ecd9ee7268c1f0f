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
        """The child called `name`, in either spelling of a proto field; the last one, as parsers have it."""
        folded = _fold(name)
        return next((node for key, node in reversed(self.children) if key == name or _fold(key) == folded), None)


def _fold(name: str | int) -> str:
    return str(name).replace("_", "").lower()
