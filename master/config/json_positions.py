"""Where the values of a JSON text stand: a second pass, run only when there is something to report."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator

from master.config.finding import Finding
from master.config.nodes import Node
from master.config.source import Source
from master.config.tree import duplicate

_TOKEN = re.compile(r'[ \t\n\r]*(?:([{}\[\],:])|("(?:[^"\\]|\\.)*")|([^\s{}\[\],:"]+))')


def compose(source: Source) -> Node:
    """The tree of positions of a text that `json` has accepted."""
    return _value(_Tokens(source.text))


def find_duplicates(source: Source) -> tuple[Finding, ...]:
    """A finding for each name that an object sets again, at its place."""
    found: list[Finding] = []

    def visit(node: Node, path: tuple[str | int, ...]) -> None:
        names: set[str] = set()
        for name, child in node.children:
            if isinstance(name, str) and name in names:
                found.append(duplicate(source.name, child.line, child.column, (*path, name)))
            names.add(str(name))
            visit(child, (*path, name))

    visit(compose(source), ())
    return tuple(found)


@dataclasses.dataclass(frozen=True, slots=True)
class _Token:
    text: str
    line: int
    column: int


class _Tokens:
    def __init__(self, text: str) -> None:
        self._tokens = _scan(text)
        self.current = next(self._tokens)

    def take(self) -> _Token:
        token = self.current
        self.current = next(self._tokens, _Token("", token.line, token.column))
        return token


def _scan(text: str) -> Iterator[_Token]:
    line, line_start, at = 0, 0, 0
    while match := _TOKEN.match(text, at):
        start = match.start(match.lastindex or 0)
        newlines = text.count("\n", at, start)
        if newlines:
            line += newlines
            line_start = text.rfind("\n", at, start) + 1
        yield _Token(match[match.lastindex or 0], line, start - line_start)
        at = match.end()


def _value(tokens: _Tokens, key: _Token | None = None) -> Node:
    first = tokens.take()
    place = key or first
    children: list[tuple[str | int, Node]] = []
    if first.text == "{":
        while tokens.current.text != "}":
            name = tokens.take()
            tokens.take()  # the colon
            children.append((json.loads(name.text), _value(tokens, name)))
            if tokens.current.text == ",":
                tokens.take()
        tokens.take()
    elif first.text == "[":
        while tokens.current.text != "]":
            children.append((len(children), _value(tokens)))
            if tokens.current.text == ",":
                tokens.take()
        tokens.take()
    return Node(place.line, place.column, children)
