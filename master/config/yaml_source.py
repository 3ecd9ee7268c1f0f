"""YAML → tree, with the scalar rules of Envoy (`parseYamlNode` in source/common/protobuf/yaml_utility.cc).

Envoy reads with yaml-cpp: a plain scalar is null, else a boolean of YAML 1.1 (`on`, `Yes`, `y`), else an integer in
C notation (`017` is 15, `0x1F` is 31), else a string: `1.5`, `1:30`, dates and `.inf` stay text, which the field that
takes them may read as a number. A `<<` key is an ordinary key. Where Envoy silently drops something (an earlier value
of a duplicate key, a second document), this is an error.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml._yaml import CParser

from master.config.finding import Finding
from master.config.source import Source
from master.config.tree import MAX_ALIASED_VALUES, MAX_DEPTH, Parsed, duplicate, syntax

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    spelling: truth
    for word, truth in [
        ("y", True), ("yes", True), ("true", True), ("on", True),
        ("n", False), ("no", False), ("false", False), ("off", False),
    ]
    for spelling in (word, word.upper(), word.capitalize())
}  # fmt: skip
_INTEGER = re.compile(r"([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")
_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)
_IGNORED_KEY = "!ignore"


def parse(source: Source) -> Parsed:
    """The first document of `source`; every duplicate key is reported, a syntax error ends the parse."""
    builder = _Builder(source.name)
    try:
        parser = CParser(source.text)
        root = builder.document(parser)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        context = f" {error.context}" if error.context else ""
        return Parsed(None, (syntax(source.name, line, column, f"{error.problem or 'not YAML'}{context}"),))
    except yaml.reader.ReaderError as error:
        before = source.text[: error.position]
        column = len(before) - (before.rfind("\n") + 1)
        return Parsed(
            None, (syntax(source.name, before.count("\n"), column, f"{error.reason} (#x{error.character:04x})"),)
        )
    except _RejectedError as error:
        return Parsed(
            None, (*builder.findings, syntax(source.name, error.line, error.column, error.message, error.expected))
        )
    if not isinstance(root, dict):
        return Parsed(None, (syntax(source.name, 0, 0, "the configuration is not a mapping", "a mapping of fields"),))
    return Parsed(root, tuple(builder.findings))


def scalar(text: str, tag: str | None, *, plain: bool) -> Any:
    """The JSON value of a scalar; `plain` is false for quoted and block scalars, which are strings.

    yaml-cpp gives them the tag `!`; so with any other tag, even `!!str`, they are read as if they were plain.
    """
    if tag == "!" or (tag is None and not plain):
        return text
    if tag is None and text in _NULLS:
        return None
    truth = _BOOLEANS.get(text)
    if truth is not None:
        return truth
    if (match := _INTEGER.fullmatch(text)) and len(text) <= 80:
        sign, hexadecimal, octal, decimal = match.groups()
        number = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)
        number = -number if sign == "-" else number
        if number in _INT32:
            return number
        if number in _INT64:
            return str(number)
    return text


class _RejectedError(Exception):
    def __init__(self, mark: Any, message: str, expected: str = "") -> None:
        super().__init__(message)
        self.line: int = mark.line
        self.column: int = mark.column
        self.message = message
        self.expected = expected


class _Builder:
    """Builds the tree from the parser's events without recursion, so that no document can exhaust the stack."""

    def __init__(self, source: str) -> None:
        self.findings: list[Finding] = []
        self._source = source
        # anchor → (value, number of values in it, levels of nesting in it)
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._aliased = 0

    def document(self, parser: Any) -> Any:
        root: Any = None
        # One frame per open collection: [container, key or _NO_KEY, anchor, values inside, levels inside]
        stack: list[list[Any]] = []
        documents = 0
        while not isinstance(event := parser.get_event(), yaml.StreamEndEvent):
            kind = type(event)
            if kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1 and self._has_content(parser):
                    raise _RejectedError(event.start_mark, "a second document, which Envoy ignores", "one document")
                continue
            if documents > 1 or kind in (yaml.StreamStartEvent, yaml.DocumentEndEvent):
                continue
            size, levels = 1, 0
            if kind is yaml.ScalarEvent:
                if stack and stack[-1][1] is _NO_KEY:
                    self._take_key(stack, event)
                    continue
                value = scalar(event.value, event.tag, plain=not event.style)
                if event.anchor:
                    self._anchors[event.anchor] = (value, size, levels)
            elif kind is yaml.AliasEvent:
                value, size, levels = self._resolve(event, len(stack))
                if stack and stack[-1][1] is _NO_KEY:
                    if isinstance(value, dict | list):
                        raise _RejectedError(event.start_mark, "a key that is a collection", "a scalar")
                    self._take_key(stack, event, str(value))
                    continue
            elif kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
                if stack and stack[-1][1] is _NO_KEY:
                    raise _RejectedError(event.start_mark, "a key that is a collection", "a scalar")
                if len(stack) >= MAX_DEPTH:
                    raise _RejectedError(event.start_mark, f"nested more than {MAX_DEPTH} levels deep")
                is_map = kind is yaml.MappingStartEvent
                stack.append([{} if is_map else [], _NO_KEY if is_map else None, event.anchor, 1, 1])
                continue
            else:
                value, _, anchor, size, levels = stack.pop()
                if anchor:
                    self._anchors[anchor] = (value, size, levels)
            if not stack:
                root = value
            else:
                self._add(stack[-1], value, size, levels)
        return root

    def _add(self, frame: list[Any], value: Any, size: int, levels: int) -> None:
        container = frame[0]
        if isinstance(container, dict):
            if frame[1] is not _IGNORED:
                container[frame[1]] = value
            frame[1] = _NO_KEY
        else:
            container.append(value)
        frame[3] += size
        frame[4] = max(frame[4], levels + 1)

    def _take_key(self, stack: list[list[Any]], event: Any, key: str | None = None) -> None:
        key = event.value if key is None else key
        frame = stack[-1]
        if getattr(event, "tag", None) == _IGNORED_KEY:
            frame[1] = _IGNORED
            return
        if key in frame[0]:
            path = tuple(len(part[0]) if isinstance(part[0], list) else part[1] for part in stack[:-1])
            mark = event.start_mark
            self.findings.append(duplicate(self._source, mark.line, mark.column, (*path, key)))
        frame[1] = key
        if getattr(event, "anchor", None):
            self._anchors[event.anchor] = (key, 1, 0)

    def _resolve(self, event: Any, depth: int) -> tuple[Any, int, int]:
        known = self._anchors.get(event.anchor)
        if known is None:
            raise _RejectedError(
                event.start_mark, f'alias of an unknown anchor "{event.anchor}"', "an anchor before its alias"
            )
        self._aliased += known[1]
        if self._aliased > MAX_ALIASED_VALUES:
            raise _RejectedError(event.start_mark, f"aliases stand for more than {MAX_ALIASED_VALUES} values")
        if depth + known[2] > MAX_DEPTH:
            raise _RejectedError(event.start_mark, f"nested more than {MAX_DEPTH} levels deep")
        return known

    @staticmethod
    def _has_content(parser: Any) -> bool:
        event = parser.peek_event()
        return not (isinstance(event, yaml.ScalarEvent) and event.value in _NULLS and not event.style)


_NO_KEY = object()
_IGNORED = object()
