"""JSON formats: a tree whose strings may contain operators. An operator that stands alone keeps its type."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from proxy.access_log.format import Operator, Renderer, as_text, parse
from proxy.http.stream_info import StreamInfo

Node = Callable[[StreamInfo], bytes | None]
"""A value as JSON; None: leave it out."""

_PLAIN = re.compile(rb"[ !#-\[\]-~]*")
_SPECIAL = re.compile(rb"[^ !#-\[\]-~]")
_MAX_SAFE = 2**53


def compile_json(tree: Any, *, omit_empty: bool) -> Renderer:
    """A function that renders `tree` (dict, list, str, float, bool, None) as one line; keys are sorted.

    `omit_empty` leaves out what has no value, and what is empty for that. Raises `FormatError`.
    """
    node = _node(tree, omit_empty)

    def render(info: StreamInfo) -> bytes:
        return (node(info) or b"{}") + b"\n"

    return render


def _node(value: Any, omit: bool) -> Node:
    if isinstance(value, dict):
        return _object([(_quoted(key.encode()) + b":", _node(value[key], omit)) for key in sorted(value)], omit)
    if isinstance(value, list):
        return _array([_node(item, omit) for item in value], omit)
    if isinstance(value, str):
        return _text(value, omit)
    encoded = None if value is None and omit else _scalar(value)
    return lambda info: encoded


def _object(members: list[tuple[bytes, Node]], omit: bool) -> Node:
    def render(info: StreamInfo) -> bytes | None:
        parts = [key + value for key, node in members if (value := node(info)) is not None]
        return b"{" + b",".join(parts) + b"}" if parts or not omit else None

    return render


def _array(items: list[Node], omit: bool) -> Node:
    def render(info: StreamInfo) -> bytes | None:
        parts = [value for node in items if (value := node(info)) is not None]
        return b"[" + b",".join(parts) + b"]"

    return render


def _text(text: str, omit: bool) -> Node:
    pieces = parse(text)
    if len(pieces) == 1 and isinstance(pieces[0], Operator):
        return _typed(pieces[0], omit)
    missing = b"" if omit else b"-"
    parts = [piece if isinstance(piece, Operator) else _escaped(piece) for piece in pieces]

    def render(info: StreamInfo) -> bytes:
        values = [p if isinstance(p, bytes) else _escaped(as_text(p.get(info), missing)) for p in parts]
        return b'"' + b"".join(values) + b'"'

    return render


def _typed(operator: Operator, omit: bool) -> Node:
    get = operator.get
    missing = None if omit else b"null"

    def render(info: StreamInfo) -> bytes | None:
        value = get(info)
        if isinstance(value, bytes):
            return _quoted(value)
        return missing if value is None else b"%d" % value

    return render


def _scalar(value: float | bool | None) -> bytes:
    """A number of the configuration is a double; whole ones are printed as integers."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_SAFE:
        value = int(value)
    return json.dumps(value).encode()


def _quoted(value: bytes) -> bytes:
    return b'"' + _escaped(value) + b'"'


def _escaped(value: bytes) -> bytes:
    """The inside of a JSON string. Bytes that are no UTF-8 are escaped one by one, as `\\u00ff`, and so is then every
    other special character, as in Envoy.
    """
    if _PLAIN.fullmatch(value):
        return value
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return _SPECIAL.sub(lambda found: b"\\u%04x" % found[0][0], value)
    return json.dumps(text, ensure_ascii=False)[1:-1].encode()
