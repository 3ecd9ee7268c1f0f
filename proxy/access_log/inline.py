"""The common operators as Python source, of which one function for a whole text format is made.

A format is rendered once per request. Its operators as functions of their own cost twice as much as the text that they
yield: fifteen calls, most of them cold. `compiled` puts them into one function, which indexes the headers once. What is
not in the table here is called as the function that it is. The functions define what an operator means; a property test
holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from proxy.access_log.operators.addresses import text_of
from proxy.access_log.operators.clock import DEFAULT, TimeFormat
from proxy.access_log.operators.header import names
from proxy.http.stream_info import StreamInfo
from proxy.route.matcher import JOINED

Kind = Literal["bytes", "number", "bytes or none", "number or none"]
Items = Sequence[tuple[bytes, bytes]]

_LF, _CR = 10, 13


class Source(NamedTuple):
    """An expression over `info`, `request`, `sent` (the request's headers) and `got` (the response's), both by name.

    `{x}` in it is `bound`. Nothing in it comes from a configuration but the `repr` of bytes.
    """

    code: str
    kind: Kind
    bound: Any = None


_PSEUDO = {
    ":method": "(None if request is None else request.method)",
    ":path": "(None if request is None else request.path or None)",
    ":scheme": "(None if request is None else request.scheme)",
    ":authority": "(None if request is None else request.authority or None)",
    "host": "(None if request is None else request.authority or None)",
}
_PLAIN = {
    "BYTES_RECEIVED": Source("info.bytes_received", "number"),
    "BYTES_SENT": Source("info.bytes_sent", "number"),
    "DURATION": Source(
        "(int((info.ended - info.started) * 1e3) if info.started and info.ended >= info.started else None)",
        "number or none",
    ),
    "RESPONSE_CODE": Source("info.status", "number"),
    "ROUTE_NAME": Source("(info.route_name.encode() or None)", "bytes or none"),
    "UPSTREAM_CLUSTER": Source("(info.upstream_cluster.encode() or None)", "bytes or none"),
    "UPSTREAM_HOST": Source(
        "(None if info.upstream_host is None else {x}(info.upstream_host))", "bytes or none", text_of
    ),
}


def source(name: str, parameter: str | None, getter: Callable[[StreamInfo], object]) -> Source | None:
    """The operator as source, if it is one of the common ones; `getter` answers in rare cases."""
    if name in _PLAIN:
        return _PLAIN[name]
    if name == "START_TIME":
        return Source("{x}(info.started_at)", "bytes", TimeFormat(parameter or DEFAULT))
    if name == "RESPONSE_FLAGS":
        return Source('(b"-" if not info.flags else {x}(info))', "bytes", getter)
    if name == "PROTOCOL":
        return Source("({x}(info) if request is None else request.protocol.encode())", "bytes or none", getter)
    if name == "REQ":
        return _first([_PSEUDO.get(header) or f"sent.get({header.encode()!r})" for header in names(parameter)])
    if name == "RESP" and ":status" not in (found := names(parameter)):
        return _first([f"got.get({header.encode()!r})" for header in found])
    return None


def _first(codes: list[str]) -> Source:
    if len(codes) == 1:
        return Source(codes[0], "bytes or none")
    return Source(f"(first if (first := {codes[0]}) is not None else {codes[1]})", "bytes or none")


def compiled(
    template: bytes,
    parts: Sequence[Source | Callable[[StreamInfo], object]],
    missing: bytes,
    careful: Callable[[StreamInfo], bytes],
) -> Callable[[StreamInfo], bytes]:
    """One function that renders `template`, which has a `%b` for each of `parts`.

    A line break that a value brings would forge a line: then `careful` renders it again.
    """
    scope: dict[str, Any] = {"careful": careful, "index": _index, "missing": missing, "nothing": {}}
    values = []
    for number, part in enumerate(parts):
        if isinstance(part, Source):
            scope[f"x{number}"] = part.bound
            values.append(_AS_BYTES[part.kind].format(part.code.replace("{x}", f"x{number}")))
        else:
            scope[f"x{number}"] = part
            values.append(_UNKNOWN.format(f"x{number}(info)"))
    scope["template"] = template
    listed = ", ".join(values)
    prologue = [_PROLOGUE[word] for word in _PROLOGUE if word in listed]
    text = _FUNCTION.format(prologue="\n".join(prologue), values=listed, breaks=template.count(b"\n"))
    exec(compile(text, "<access log format>", "exec"), scope)  # noqa: S102 - made above, of this file's own text
    render: Callable[[StreamInfo], bytes] = scope["render"]
    return render


_UNKNOWN = "(v if (v := {}).__class__ is bytes else missing if v is None else b'%d' % v)"
_AS_BYTES: dict[Kind, str] = {
    "bytes": "{}",
    "number": "b'%d' % {}",
    "bytes or none": "(missing if (v := {}) is None else v)",
    "number or none": "(missing if (v := {}) is None else b'%d' % v)",
}
_PROLOGUE = {
    "sent.get": "    sent = nothing if request is None else index(request.headers.items)",
    "got.get": "    got = nothing if info.response_headers is None else index(info.response_headers.items)",
}
_FUNCTION = f"""
def render(info):
    request = info.request
{{prologue}}
    line = template % ({{values}},)
    return line if {_CR} not in line and line.count({_LF}) == {{breaks}} else careful(info)
"""


def _index(items: Items) -> dict[bytes, bytes]:
    """Header lines by name, as Envoy's header map shows them: the first of a name, or all of those that it joins."""
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
