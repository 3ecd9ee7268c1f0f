"""The positions of the values of one source, as a tree that a path leads through."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(slots=True)
class Node:
    """A value at `line` and `column` (from 0), which are those of its key where it has one."""

    line: int
    column: int
    children: list[tuple[str | int, Node]]
    _index: dict[str | int, Node] | None = None

    def child(self, name: str | int) -> Node | None:
        """The last child called `name`, or else the last with the other spelling of that field.

        To be called when the tree is complete: the first call makes an index of the children.
        """
        if self._index is None:
            self._index = {_fold(key): node for key, node in self.children} | dict(self.children)
        return self._index.get(name) or self._index.get(_fold(name))


def _fold(name: str | int) -> str | int:
    """Folded names have a mark that no key has, so that they do not collide with keys."""
    return name if isinstance(name, int) else "\0" + name.replace("_", "").lower()
