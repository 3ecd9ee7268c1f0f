"""Path → file:line:column, in the source that the value came from.

Sources are merged as protobuf merges messages: what a later one sets wins, lists are appended, a map entry or an Any is
replaced as a whole. So element 5 of a list may be element 1 of the second source.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from master.config import json_positions, yaml_positions
from master.config.finding import Position
from master.config.nodes import Node
from master.config.source import Source

Path = tuple[str | int, ...]


class Locator:
    """Finds positions for paths of the merged message, in proto or source spelling.

    The texts are scanned at the first call, not before. Where a value is absent (a required field, a default), the
    position is that of the nearest value around it.
    """

    def __init__(self, sources: Sequence[Source], root: Descriptor) -> None:
        self._sources = sources
        self._root = root

    def __call__(self, path: Path) -> Position | None:
        best: tuple[int, Position] | None = None
        # The last source wins where several go equally deep.
        for index in range(len(self._sources)):
            depth, position = self._follow(index, self._to_source(path, index))
            if position is not None and (best is None or depth >= best[0]):
                best = (depth, position)
        return best[1] if best else None

    def in_source(self, index: int, path: Path) -> Position | None:
        """The position of `path` in one source, in that source's own indexes."""
        return self._follow(index, path)[1]

    @functools.cached_property
    def _nodes(self) -> list[Node]:
        return [
            (yaml_positions if source.format == "yaml" else json_positions).compose(source) for source in self._sources
        ]

    def _follow(self, index: int, path: Path | None) -> tuple[int, Position | None]:
        if path is None:
            return 0, None
        node, depth = self._nodes[index], 0
        for part in path:
            child = _child(node, part)
            if child is None:
                break
            node, depth = child, depth + 1
        return depth, Position(self._sources[index].name, node.line + 1, node.column + 1)

    def to_merged(self, index: int, path: Path) -> Path:
        """A path of source `index` in the indexes of the merged message."""
        at, offset, _ = self._first_list(index, path)
        return path if at is None else (*path[:at], int(path[at]) + offset, *path[at + 1 :])

    def _to_source(self, path: Path, index: int) -> Path | None:
        """`path` in the indexes of source `index`; None if it leads to a list element of another source."""
        at, offset, length = self._first_list(index, path)
        if at is None:
            return path
        position = int(path[at]) - offset
        return (*path[:at], position, *path[at + 1 :]) if 0 <= position < length else None

    def _first_list(self, index: int, path: Path) -> tuple[int | None, int, int]:
        """Where in `path` the first list index stands, how many elements earlier sources have, and how many this one.

        Only the first matters: elements are never merged with each other.
        """
        if len(self._sources) == 1:
            return None, 0, 0
        message: Descriptor | None = self._root
        nodes: list[Node | None] = list(self._nodes[: index + 1])
        for at, part in enumerate(path[:-1]):
            field = _field(message, part)
            if field is None or not isinstance(part, str):
                break
            nodes = [_child(node, part) if node else None for node in nodes]
            if field.is_repeated:
                if not isinstance(path[at + 1], int):
                    break
                return at + 1, sum(_length(node) for node in nodes[:-1]), _length(nodes[-1])
            message = field.message_type
        return None, 0, 0


def _child(node: Node, part: str | int) -> Node | None:
    child = node.child(part)
    if child is None and part == 0 and not _is_list(node):
        return node  # one value where a list is expected
    if child is None and (inner := node.child("value")) and node.child("type_url"):
        return _child(inner, part)  # a TypedStruct stands for the message in its value
    return child


def _is_list(node: Node) -> bool:
    return bool(node.children) and isinstance(node.children[0][0], int)


def _length(node: Node | None) -> int:
    return 0 if node is None else len(node.children) if _is_list(node) or not node.children else 1


def _field(message: Descriptor | None, name: Any) -> FieldDescriptor | None:
    if message is None or message.full_name == "google.protobuf.Any":
        return None
    fields: dict[str, FieldDescriptor] = dict(message.fields_by_name)
    return fields.get(name) or message.fields_by_camelcase_name.get(name)
