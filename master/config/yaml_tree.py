"""YAML events → tree, without recursion, so that no document can exhaust the stack; within the limits of `tree`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml

from master.config.finding import Finding
from master.config.tree import MAX_ALIASED_VALUES, MAX_DEPTH, duplicate

# Envoy leaves out an entry whose key has this tag.
_IGNORED = "!ignore"
_KEY_EXPECTED = "a scalar"


class RejectedError(Exception):
    """The document is YAML, but not a tree that we take. `line` and `column` count from 0."""

    def __init__(self, mark: Any, message: str, expected: str = "") -> None:
        super().__init__(message)
        self.line: int = mark.line
        self.column: int = mark.column
        self.message = message
        self.expected = expected


@dataclasses.dataclass(slots=True)
class _Frame:
    """An open collection; `size` values in `levels` levels so far. `key` is the key whose value comes next."""

    container: Any
    is_mapping: bool
    anchor: str | None
    key: str | None = None
    ignored: bool = False
    size: int = 1
    levels: int = 1


class _Anchored(NamedTuple):
    value: Any
    size: int
    levels: int
    text: str | None  # of a scalar, as it stands


class Builder:
    """Builds the tree of one document; `scalar(text, tag, plain=…)` gives the value of a scalar."""

    def __init__(self, source: str, scalar: Callable[..., Any]) -> None:
        self.findings: list[Finding] = []
        self._source = source
        self._scalar = scalar
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchored] = {}
        self._aliased = 0
        self._root: Any = None

    def document(self, parser: Any) -> Any:
        """The first document of `parser`'s text; it must be the only one that holds anything."""
        handlers = {
            yaml.ScalarEvent: self._take_scalar,
            yaml.AliasEvent: self._take_alias,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
        }
        ends = (yaml.DocumentEndEvent, yaml.StreamEndEvent)
        while (kind := type(event := parser.get_event())) not in ends:
            if handler := handlers.get(kind):
                handler(event)
        if kind is yaml.DocumentEndEvent:
            self._refuse_more(parser)
        return self._root

    def _take_scalar(self, event: Any) -> None:
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.is_mapping and frame.key is None:
            self._take_key(frame, event, event.value, ignored=event.tag == _IGNORED)
            value: Any = event.value
        else:
            value = self._scalar(event.value, event.tag, plain=not event.style)
            self._add(value, 1, 0)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value, 1, 0, event.value)

    def _take_alias(self, event: Any) -> None:
        known = self._anchors.get(event.anchor)
        if known is None:
            message = f'alias of an unknown anchor "{event.anchor}"'
            raise RejectedError(event.start_mark, message, "an anchor before its alias")
        self._aliased += known.size
        if self._aliased > MAX_ALIASED_VALUES:
            raise RejectedError(event.start_mark, f"aliases stand for more than {MAX_ALIASED_VALUES} values")
        if len(self._stack) + known.levels > MAX_DEPTH:
            raise RejectedError(event.start_mark, f"nested more than {MAX_DEPTH} levels deep")
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.is_mapping and frame.key is None:
            if known.text is None:
                raise RejectedError(event.start_mark, "a key that is a collection", _KEY_EXPECTED)
            self._take_key(frame, event, known.text, ignored=False)
        else:
            self._add(known.value, known.size, known.levels)

    def _take_key(self, frame: _Frame, event: Any, key: str, *, ignored: bool) -> None:
        frame.key, frame.ignored = key, ignored
        if key in frame.container and not ignored:
            path = tuple((part.key or "") if part.is_mapping else len(part.container) for part in self._stack)
            mark = event.start_mark
            self.findings.append(duplicate(self._source, mark.line, mark.column, path))

    def _open(self, event: Any) -> None:
        if self._stack and self._stack[-1].is_mapping and self._stack[-1].key is None:
            raise RejectedError(event.start_mark, "a key that is a collection", _KEY_EXPECTED)
        if len(self._stack) >= MAX_DEPTH:
            raise RejectedError(event.start_mark, f"nested more than {MAX_DEPTH} levels deep")
        is_mapping = type(event) is yaml.MappingStartEvent
        self._stack.append(_Frame({} if is_mapping else [], is_mapping, event.anchor))

    def _close(self, event: Any) -> None:
        frame = self._stack.pop()
        if frame.anchor:
            self._anchors[frame.anchor] = _Anchored(frame.container, frame.size, frame.levels, None)
        self._add(frame.container, frame.size, frame.levels)

    def _add(self, value: Any, size: int, levels: int) -> None:
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        if frame.is_mapping:
            if not frame.ignored:
                frame.container[frame.key] = value
            frame.key = None
        else:
            frame.container.append(value)
        frame.size += size
        frame.levels = max(frame.levels, levels + 1)

    def _refuse_more(self, parser: Any) -> None:
        start: Any = None
        while type(event := parser.get_event()) is not yaml.StreamEndEvent:
            if type(event) is yaml.DocumentStartEvent:
                start = event.start_mark
            is_empty = type(event) is yaml.ScalarEvent and not event.value and not event.style
            if isinstance(event, yaml.NodeEvent) and not is_empty:
                raise RejectedError(start, "a second document, which Envoy ignores", "one document")
