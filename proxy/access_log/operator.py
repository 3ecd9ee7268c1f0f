"""What a command operator is: `%NAME(parameter):length%` compiled to a function of `StreamInfo`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from proxy.http.stream_info import StreamInfo


class Structured(NamedTuple):
    """A value of JSON's types but None, which JSON formats keep as it is. `length`: at most so many bytes of its text.
    `quoted`: it is text as JSON wherever it stands. `shown` is its text, if that is not what follows from the value.
    """

    value: Any
    length: int | None = None
    quoted: bool = False
    shown: bytes | None = None

    def text(self) -> bytes:
        """As it stands in text."""
        if self.shown is not None:
            return self.shown[: self.length]
        plain = isinstance(self.value, str) and not self.quoted
        return (self.value.encode(errors="replace") if plain else _json(self.value))[: self.length]

    def json(self) -> bytes:
        """As it stands in JSON: only text has a length there."""
        value = self.value
        if isinstance(value, str) and not self.quoted:
            value = value.encode(errors="replace")[: self.length].decode(errors="replace")
        return _json(value)


def _json(value: Any) -> bytes:
    """Keys sorted."""
    text = json.dumps(_numbers(value), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.encode(errors="replace")


def _numbers(value: Any) -> Any:
    """With whole numbers as integers, as Envoy writes them, and as text what JSON has no number for."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value.is_integer() and abs(value) < _MAX_SAFE else value
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _numbers(item) for key, item in value.items()}
    return value


_MAX_SAFE = 2**53

Value = bytes | int | Structured | None
Getter = Callable[[StreamInfo], Value]
"""The operator's value: text, a number or a structure (JSON keeps it one), or None if there is none (`-` in text, null
in JSON)."""

Build = Callable[[str | None], Getter]
"""Compiles the parameter, None if there are no parentheses. Raises `FormatError`."""


Kind = Literal["bytes", "number", "bytes or none", "number or none", "unknown"]


class Source(NamedTuple):
    """An operator as an expression over `info`, `request`, `sent` and `got`, the headers of both heads by name.

    `{x}` in it is `bound`. Nothing in it comes from a configuration but the `repr` of bytes.
    """

    code: str
    kind: Kind
    bound: Any = None


class Operator(NamedTuple):
    """A compiled operator, in the place where it stood.

    `of_heads`: its value is the same for all exchanges with the same heads, where the path, the service time, and
    the ids of requests and traces (`http/express_varying.py`) count as holes in them.
    """

    name: str
    get: Getter
    source: Source | None = None
    of_heads: bool = False


class FormatError(Exception):
    """A format is wrong. `expected` says what would be right; `suggestion` is the nearest operator, if one is near."""

    def __init__(self, message: str, expected: str = "", suggestion: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.suggestion = suggestion


def plain(getter: Getter) -> Build:
    """An operator without parameter."""

    def build(parameter: str | None) -> Getter:
        if parameter is not None:
            raise FormatError("the operator takes no parameters", "no parentheses")
        return getter

    return build


def constant(value: Value) -> Getter:
    return lambda info: value


def required(parameter: str | None, what: str) -> str:
    """The parameter of an operator that cannot do without."""
    if not parameter:
        raise FormatError("the operator requires a parameter", what)
    return parameter


def truncated(getter: Getter, length: int) -> Getter:
    """`:length`: at most so many bytes of text; numbers stay whole, as in Envoy."""

    def get(info: StreamInfo) -> Value:
        value = getter(info)
        if isinstance(value, Structured):
            return value._replace(length=length)
        return value[:length] if isinstance(value, bytes) else value

    return get
