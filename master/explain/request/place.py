"""Where in the configuration something is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from master.config.finding import Finding, Position

Path = tuple[str | int, ...]
Locate = Callable[[Path], Position | None]


class Place(msgspec.Struct, frozen=True):
    """`path` leads there from the root of the bootstrap, in proto spelling; empty where nobody said it: a default.
    `file`, `line` and `column` are set where the text is at hand.
    """

    path: Path = ()
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """`envoy.yaml:12:9`, or else `static_resources.listeners[0]…`, or `(default)`."""
        if self.file:
            return f"{self.file}:{self.line}:{self.column}"
        return Finding("file", self.path, "").field_path if self.path else "(default)"

    def located(self, locate: Locate) -> Place:
        """The same with its position, if it has one."""
        position = locate(self.path) if self.path else None
        return self if position is None else Place(self.path, position.file, position.line, position.column)


DEFAULT = Place()


class Places:
    """Looks things up in `source`, the bootstrap as JSON in proto spelling (`CompiledConfig.source`)."""

    def __init__(self, source: Mapping[str, Any]) -> None:
        self._source = source

    def of(self, *path: str | int) -> Place:
        """`path` if something is set there, else `DEFAULT`."""
        return Place(path) if self.value(path) is not None else DEFAULT

    def first(self, *places: Path) -> Place:
        """The first of several that is set."""
        return next((place for place in (self.of(*path) for path in places) if place.path), DEFAULT)

    def value(self, path: Path) -> Any:
        """What stands at `path`; None if nothing does."""
        value: Any = self._source
        for part in path:
            value = _child(value, part)
            if value is None:
                return None
        return value

    def index(self, path: Path, kept: int, count: int) -> Path:
        """The way to element number `kept` of what was compiled of the list at `path`, which has `count` elements.

        `--allow-unsupported` drops elements that nothing could be made of: then nobody knows which one it was.
        """
        listed = self.value(path)
        return (*path, kept) if isinstance(listed, list) and len(listed) == count else path


def _child(value: Any, part: str | int) -> Any:
    if isinstance(part, int):
        return value[part] if isinstance(value, list) and part < len(value) else None
    if not isinstance(value, dict):
        return None
    if part in value:
        return value[part]
    if "value" in value and ("type_url" in value or "typeUrl" in value):  # a TypedStruct, spelled as it was written
        inner = value["value"]
        return inner.get(part, inner.get(_camel(part))) if isinstance(inner, dict) else None
    return None


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)
