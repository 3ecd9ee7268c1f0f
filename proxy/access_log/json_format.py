"""JSON formats: a tree whose strings may contain operators. An operator that stands alone keeps its type."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from proxy.access_log.format import parse
from proxy.access_log.operator import Kind, Operator, Structured
from proxy.access_log.operators.header import one_line
from proxy.access_log.rendering import Code, Part, Rendering, Scope, compiled, merged

_PLAIN_BYTES = bytes(range(0x20, 0x7F)).replace(b'"', b"").replace(b"\\", b"")
_SPECIAL = re.compile(rb"[^ !#-\[\]-~]")
_MAX_SAFE = 2**53


def compile_json(tree: dict[str, Any], *, omit_empty: bool) -> Rendering:
    """The rendering of `tree` (dict, list, str, float, bool, None) as one line; keys are sorted.

    `omit_empty` leaves out what has no value, and what is empty for that. Raises `FormatError`.
    """
    scope = Scope(
        escaped=_escaped,
        escaped_line=_escaped_line,
        quoted=_quoted,
        quoted_line=_quoted_line,
        other=_other,
        other_inside=_other_inside,
    )
    members = _Compiler(scope, omit=omit_empty).members(tree)
    if omit_empty:
        return compiled(members, scope, members=True)
    return compiled([b"{", *_without_comma(members), b"}\n"], scope)


class _Compiler:
    """From values to parts. Each value has a prefix, which goes where the value goes."""

    def __init__(self, scope: Scope, *, omit: bool) -> None:
        self._scope = scope
        self._omit = omit

    def members(self, tree: dict[str, Any]) -> list[Part]:
        """The members of an object, each with a comma before it."""
        return self._all((b"," + _quoted(key.encode()) + b":", tree[key]) for key in sorted(tree))

    def _all(self, values: Iterable[tuple[bytes, Any]]) -> list[Part]:
        return merged([part for prefix, value in values for part in self._value(prefix, value)])

    def _value(self, prefix: bytes, value: Any) -> list[Part]:
        if isinstance(value, dict):
            inner = self.members(value)
            return [_unless_empty(prefix, inner)] if self._omit else [prefix + b"{", *_without_comma(inner), b"}"]
        if isinstance(value, list):
            inner = self._all((b",", item) for item in value)
            return [_array(prefix, inner)] if self._omit else [prefix + b"[", *_without_comma(inner), b"]"]
        if isinstance(value, str):
            return self._text(prefix, value)
        return [] if value is None and self._omit else [prefix + _scalar(value)]

    def _text(self, prefix: bytes, text: str) -> list[Part]:
        pieces = parse(text)
        if len(pieces) == 1 and isinstance(pieces[0], Operator):
            return self._alone(prefix, pieces[0])
        inside = [self._inside(piece) if isinstance(piece, Operator) else _escaped(piece) for piece in pieces]
        return [prefix + b'"', *inside, b'"']

    def _alone(self, prefix: bytes, operator: Operator) -> list[Part]:
        source, of_heads = self._scope.value(operator), operator.of_heads
        if source.kind in _ALWAYS:
            return [prefix, Code(_ALWAYS[source.kind].format(source.code), of_heads)]
        there = _SOMETIMES[source.kind]
        if self._omit:
            return [Code(f'(b"" if (v := {source.code}) is None else {prefix!r} + {there})', of_heads)]
        return [prefix, Code(f'(b"null" if (v := {source.code}) is None else {there})', of_heads)]

    def _inside(self, operator: Operator) -> Code:
        source = self._scope.value(operator)
        absent = 'b""' if self._omit else 'b"-"'
        return Code(_INSIDE[source.kind].format(source.code, absent=absent), operator.of_heads)


_ALWAYS: dict[Kind, str] = {"bytes": "quoted_line({})", "number": "b'%d' % {}"}
_SOMETIMES: dict[Kind, str] = {
    "bytes or none": "quoted_line(v)",
    "number or none": "b'%d' % v",
    "unknown": "(quoted(v) if v.__class__ is bytes else other(v))",
}
_INSIDE: dict[Kind, str] = {
    "bytes": "escaped_line({})",
    "number": "b'%d' % {}",
    "bytes or none": "({absent} if (v := {}) is None else escaped_line(v))",
    "number or none": "({absent} if (v := {}) is None else b'%d' % v)",
    "unknown": "({absent} if (v := {}) is None else escaped(v) if v.__class__ is bytes else other_inside(v))",
}


def _unless_empty(prefix: bytes, members: list[Part]) -> Code:
    """An object that goes with the last of its members."""
    return Code(f'(b"" if not (o := {_sum(members)}) else {prefix + b"{"!r} + o[1:] + b"}}")', _all_of_heads(members))


def _array(prefix: bytes, items: list[Part]) -> Code:
    """An array, which stays if it is empty."""
    return Code(f'({prefix + b"["!r} + ({_sum(items)})[1:] + b"]")', _all_of_heads(items))


def _sum(parts: list[Part]) -> str:
    return " + ".join(part.text if isinstance(part, Code) else repr(part) for part in parts) or 'b""'


def _all_of_heads(parts: list[Part]) -> bool:
    return all(part.of_heads for part in parts if isinstance(part, Code))


def _without_comma(parts: list[Part]) -> list[Part]:
    """Members or items that are always there, as they stand behind the opening bracket."""
    match parts:
        case [bytes(first), *rest]:
            return [first[1:], *rest]
    return parts


def _other(value: int | Structured) -> bytes:
    return b"%d" % value if isinstance(value, int) else value.json()


def _other_inside(value: int | Structured) -> bytes:
    return b"%d" % value if isinstance(value, int) else _escaped(value.text())


def _scalar(value: float | bool | None) -> bytes:
    """A number of the configuration is a double; whole ones are printed as integers."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_SAFE:
        value = int(value)
    return json.dumps(value).encode()


def _quoted(value: bytes) -> bytes:
    return b'"' + _escaped(value) + b'"'


def _quoted_line(value: bytes) -> bytes:
    return b'"%b"' % (value if not value.translate(None, _PLAIN_BYTES) else _escaped(one_line(value) or b""))


def _escaped_line(value: bytes) -> bytes:
    """What the common operators yield as source, which may hold a line break (`operators/header.py: one_line`)."""
    return value if not value.translate(None, _PLAIN_BYTES) else _escaped(one_line(value) or b"")


def _escaped(value: bytes) -> bytes:
    """The inside of a JSON string. Bytes that are no UTF-8 are escaped one by one, as `\\u00ff`, and so is then every
    other special character, as in Envoy.
    """
    if not value.translate(None, _PLAIN_BYTES):
        return value
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return _SPECIAL.sub(lambda found: b"\\u%04x" % found[0][0], value)
    return json.dumps(text, ensure_ascii=False)[1:-1].encode()
