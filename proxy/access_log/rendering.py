"""One function for a whole format: parts in, a renderer out.

A part is a literal or the source of an expression. The function indexes the headers of both heads once and fills one
template. Exchanges of the express lane share their heads but for a few holes (`Operator.of_heads`): `Rendering.planned`
renders what they share once, by the same expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from proxy.access_log.operator import Operator, Source
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.route.matcher import JOINED

Index = Mapping[bytes, bytes]
Planned = Callable[[StreamInfo, Index, Index], bytes]
"""Renders an exchange whose headers are indexed already: those of the request, those of the response."""

_LF, _CR = 10, 13


class Code(NamedTuple):
    """An expression that yields bytes. `of_heads` as in `Operator`."""

    text: str
    of_heads: bool


Part = bytes | Code


class Scope:
    """What the expressions of one format refer to."""

    def __init__(self, **names: Any) -> None:
        self.names: dict[str, Any] = {"index": index, "nothing": {}, **names}

    def bind(self, value: Any) -> str:
        """A name for `value`."""
        name = f"x{len(self.names)}"
        self.names[name] = value
        return name

    def value(self, operator: Operator) -> Source:
        """The operator as an expression; one of unknown kind if it is not of the common ones."""
        source = operator.source
        if source is None:
            return Source(f"{self.bind(operator.get)}(info)", "unknown")
        if source.bound is None:
            return source
        return Source(source.code.replace("{x}", self.bind(source.bound)), source.kind)


class Rendering(NamedTuple):
    """A format at work. `render` makes the line of an exchange.

    `planned` makes a renderer for all exchanges that have the heads of the given one, whatever differs otherwise.
    """

    render: Callable[[StreamInfo], bytes]
    planned: Callable[[StreamInfo], Planned]


def compiled(
    parts: Sequence[Part], scope: Scope, *, careful: Callable[[StreamInfo], bytes] | None = None, members: bool = False
) -> Rendering:
    """The rendering of `parts`, one behind the other.

    A line break that a value brings would forge a line: then `careful`, if there is one, renders it again. `members`:
    the parts are members of a JSON object, each with a comma before it.
    """
    parts = merged(parts)
    codes = [part for part in parts if isinstance(part, Code)]
    varying = [code for code in codes if not code.of_heads]
    template = b"".join(b"%b" if isinstance(part, Code) else part.replace(b"%", b"%%") for part in parts)
    literal = template % ((b"",) * len(codes))
    line = 'b"{" + (template % values)[1:] + b"}\\n"' if members else "template % values"
    checked = careful is not None
    text = _FUNCTIONS.format(
        prologue=_prologue(codes),
        values=_listed(codes),
        varying=_listed(varying),
        line=line,
        checked=f"line if {_CR} not in line and line.count({_LF}) == {literal.count(_LF)} else careful(info)"
        if checked
        else "line",
    )
    names = {**scope.names, "template": template, "careful": careful}
    # The text is this package's own; nothing of a configuration is in it but the `repr` of bytes.
    exec(compile(text, "<access log format>", "exec"), names)  # noqa: S102
    all_values, varied = names["all_values"], names["varied"]

    def planned(info: StreamInfo) -> Planned:
        values = iter(all_values(info))
        known = [part if isinstance(part, bytes) else _hole(part, next(values)) for part in parts]
        shared = b"".join(b"%b" if part is None else part.replace(b"%", b"%%") for part in known)
        if careful is not None and _breaks(shared) != _breaks(template):
            return lambda info, sent, got: careful(info)
        return partial(varied, shared)

    return Rendering(names["render"], planned)


def merged(parts: Sequence[Part]) -> list[Part]:
    """`parts` with literals that follow each other as one."""
    result: list[Part] = []
    for part in parts:
        last = result[-1] if result else None
        if isinstance(part, bytes) and isinstance(last, bytes):
            result[-1] = last + part
        elif part != b"":
            result.append(part)
    return result


def index(headers: Headers | None) -> dict[bytes, bytes]:
    """Header lines by name, as Envoy's header map shows them: the first of a name, or all of those that it joins."""
    if headers is None:
        return {}
    items = headers.items
    found = dict(items)
    if len(found) == len(items):
        return found
    found = {}
    for name, value in items:
        if name not in found:
            found[name] = value
        elif name in JOINED:
            found[name] += b"," + value
    return found


def _hole(code: Code, value: bytes) -> bytes | None:
    return value if code.of_heads else None


def _breaks(line: bytes) -> tuple[int, int]:
    return line.count(_LF), line.count(_CR)


def _listed(codes: Sequence[Code]) -> str:
    return "(" + "".join(f"{code.text}, " for code in codes) + ")"


def _prologue(codes: Sequence[Code]) -> str:
    listed = _listed(codes)
    lines = []
    if "sent.get" in listed:
        lines.append("    sent = nothing if request is None else index(request.headers)")
    if "got.get" in listed:
        lines.append("    got = index(info.response_headers)")
    return "\n".join(lines)


_FUNCTIONS = """
def all_values(info):
    request = info.request
{prologue}
    return {values}

def render(info):
    request = info.request
{prologue}
    values = {values}
    line = {line}
    return {checked}

def varied(template, info, sent, got):
    request = info.request
    values = {varying}
    line = {line}
    return {checked}
"""
