"""Envoy's substitution formats: text with command operators, compiled once into pieces, rendered per exchange.

Used by access logs, and by every header or body that may contain operators.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from proxy.access_log.inline import source
from proxy.access_log.operator import FormatError, Kind, Operator, Structured, Value, truncated
from proxy.access_log.operators import FORMATTERS, NOT_SUPPORTED, OPERATORS, WITH_LENGTH, is_of_heads
from proxy.access_log.operators.header import one_line
from proxy.access_log.rendering import Code, Rendering, Scope, compiled
from proxy.http.stream_info import StreamInfo

_OPERATOR = re.compile(
    r"""%(?:
        (?P<name>[A-Z][A-Z0-9_]*)
        (?:\((?P<parameter>.*?)\))?
        (?::(?P<length>[0-9]+))?
        %
        | (?P<percent>%)
    )""",
    re.VERBOSE,
)
_MAX_LENGTH = 2**63 - 1


Piece = bytes | Operator
Renderer = Callable[[StreamInfo], bytes]


def parse(text: str, formatters: Collection[str] = tuple(FORMATTERS)) -> list[Piece]:
    """`text` as literals and compiled operators; raises `FormatError`. `%%` is a literal percent sign. `formatters` are
    the types of those that stand beside the format.
    """
    pieces: list[Piece] = []
    literal = ""
    position = 0
    while (start := text.find("%", position)) >= 0:
        found = _OPERATOR.match(text, start)
        if found is None:
            raise FormatError(
                f"incorrect configuration at offset {start}: {text[start : start + 40]!r}",
                "%NAME%, %NAME(parameter)%, %NAME(parameter):length%, or %% for a percent sign",
                _suggestion(text[start + 1 :]),
            )
        literal += text[position:start]
        position = found.end()
        if found["percent"]:
            literal += "%"
            continue
        if literal:
            pieces.append(literal.encode())
            literal = ""
        _check_formatter(found["name"], formatters)
        pieces.append(_operator(found["name"], found["parameter"], found["length"]))
    literal += text[position:]
    if literal:
        pieces.append(literal.encode())
    return pieces


def compile_text(text: str, *, missing: bytes = b"-") -> Renderer:
    """A function that renders `text`; operators without a value give `missing`. Raises `FormatError`."""
    return text_rendering(text, missing=missing).render


def text_rendering(text: str, *, missing: bytes = b"-") -> Rendering:
    """The rendering of `text`, as `compile_text`."""
    pieces = parse(text)
    scope = Scope(missing=missing, other=_other)
    parts = [_as_text(piece, scope) if isinstance(piece, Operator) else piece for piece in pieces]

    def one_by_one(info: StreamInfo) -> bytes:
        return b"".join(as_text(p.get(info), missing) if isinstance(p, Operator) else p for p in pieces)

    return compiled(parts, scope, careful=one_by_one)


def _as_text(operator: Operator, scope: Scope) -> Code:
    source = scope.value(operator)
    return Code(_AS_TEXT[source.kind].format(source.code), operator.of_heads)


_AS_TEXT: dict[Kind, str] = {
    "bytes": "{}",
    "number": "b'%d' % {}",
    "bytes or none": "(missing if (v := {}) is None else v)",
    "number or none": "(missing if (v := {}) is None else b'%d' % v)",
    "unknown": "(v if (v := {}).__class__ is bytes else missing if v is None else other(v))",
}


def as_text(value: Value, missing: bytes = b"-") -> bytes:
    """An operator's value as it stands in text."""
    if isinstance(value, bytes):
        return value
    return missing if value is None else _other(value)


def _other(value: int | Structured) -> bytes:
    return b"%d" % value if isinstance(value, int) else one_line(value.text()) or b""


def _operator(name: str, parameter: str | None, length: str | None) -> Operator:
    build = OPERATORS.get(name)
    if build is None:
        raise _unknown(name)
    try:
        getter = build(parameter or None)
        if length is not None:
            if name not in WITH_LENGTH:
                raise FormatError("the operator has no maximal length", "no colon behind it")
            if int(length) > _MAX_LENGTH:
                raise FormatError(f"maximal length {length} is out of range", "a number below 2^63")
            getter = truncated(getter, int(length))
    except FormatError as error:
        raise FormatError(f"%{name}%: {error.message}", error.expected) from error
    inline = source(name, parameter or None, getter) if length is None else None
    return Operator(name, getter, inline, is_of_heads(name, parameter))


def _check_formatter(name: str, formatters: Collection[str]) -> None:
    for formatter, names in FORMATTERS.items():
        if name in names and formatter not in formatters:
            raise FormatError(f"%{name}% needs a formatter", f"formatters with one of type {formatter}")


def _unknown(name: str) -> FormatError:
    if name in NOT_SUPPORTED:
        return FormatError(f"%{name}% is not supported", NOT_SUPPORTED[name])
    return FormatError(f"unknown operator %{name}%", "a command operator", _suggestion(name))


def _suggestion(text: str) -> str:
    """The operator that is nearest to what stands at the beginning of `text`."""
    # Imported here: only a wrong format needs it, and the data plane starts faster without.
    import difflib

    word = re.match(r"\w*", text)
    near = difflib.get_close_matches(word[0].upper() if word else "", OPERATORS, n=1, cutoff=0.5)
    return f"%{near[0]}%" if near else ""
