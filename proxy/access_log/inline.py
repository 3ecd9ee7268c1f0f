"""The common operators as Python source, of which one function for a whole format is made (`rendering.py`).

A format is rendered once per request. Its operators as functions of their own cost twice as much as the text that they
yield: fifteen calls, most of them cold. What is not in the table here is called as the function that it is. The
functions define what an operator means; a property test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.access_log.operator import Source
from proxy.access_log.operators.addresses import text_of
from proxy.access_log.operators.clock import DEFAULT, TimeFormat
from proxy.access_log.operators.header import names
from proxy.http.stream_info import StreamInfo

_PSEUDO = {
    ":method": "(None if request is None else request.method or None)",
    ":path": "(None if request is None else request.path or None)",
    ":scheme": "(None if request is None else request.scheme or None)",
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
        return Source("({x}(info) if request is None else request.protocol.encode() or None)", "bytes or none", getter)
    if name in ("REQ", "REQUEST_HEADER"):
        return _first([_PSEUDO.get(header) or f"sent.get({header.encode()!r})" for header in names(parameter)])
    if name in ("RESP", "RESPONSE_HEADER") and ":status" not in (found := names(parameter)):
        return _first([f"got.get({header.encode()!r})" for header in found])
    return None


def _first(codes: list[str]) -> Source:
    if len(codes) == 1:
        return Source(codes[0], "bytes or none")
    return Source(f"(first if (first := {codes[0]}) is not None else {codes[1]})", "bytes or none")
