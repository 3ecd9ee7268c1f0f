"""The request: its headers, as they went to the upstream, its path and query."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from proxy.access_log.operator import Build, FormatError, Getter, Value, plain, required
from proxy.access_log.operators.header import lookup, names, one_line
from proxy.errors import Flag
from proxy.http import request_id
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo
from proxy.route.path import without_query

RequestGetter = Callable[[Request], bytes | None]

_PSEUDO: dict[str, RequestGetter] = {
    ":method": lambda request: request.method or None,  # a head that was refused has nothing
    ":path": lambda request: one_line(request.path) or None,  # CONNECT has none
    ":authority": lambda request: one_line(request.authority) or None,
    ":scheme": lambda request: request.scheme or None,
    "host": lambda request: one_line(request.authority) or None,
}


def _header(name: str) -> RequestGetter:
    if name in _PSEUDO:
        return _PSEUDO[name]
    find = lookup(name)
    return lambda request: find(request.headers)


def _of_request(*getters: RequestGetter) -> Getter:
    """The first of `getters` that finds something; None while no head has been read."""
    if len(getters) == 1:
        only = getters[0]
        return lambda info: only(info.request) if info.request is not None else None

    def get(info: StreamInfo) -> Value:
        request = info.request
        if request is None:
            return None
        for getter in getters:
            if (value := getter(request)) is not None:
                return value
        return None

    return get


def _req(parameter: str | None) -> Getter:
    return _of_request(*map(_header, names(parameter)))


def _req_without_query(parameter: str | None) -> Getter:
    """`%REQ_WITHOUT_QUERY(X?Y)%`: as `REQ`, up to a `?` or `#` (`PathUtil::removeQueryAndFragment`)."""
    return _of_request(*(_cut(_header(name)) for name in names(parameter)))


def _cut(find: RequestGetter) -> RequestGetter:
    def get(request: Request) -> bytes | None:
        value = find(request)
        return None if value is None else value.partition(b"?")[0].partition(b"#")[0]

    return get


def _path(parameter: str | None) -> Getter:
    """`%PATH(WQ|NQ:PATH|ORIG|ORIG_OR_PATH)%`: with or without the query, of which header (`:path`, or the original)."""
    query, _, source = (parameter or "WQ").partition(":")
    if query not in ("", "WQ", "NQ"):
        raise FormatError(f"unknown option {query!r}", "WQ or NQ")
    sources = {
        "": ("x-envoy-original-path", ":path"),
        "ORIG_OR_PATH": ("x-envoy-original-path", ":path"),
        "PATH": (":path",),
        "ORIG": ("x-envoy-original-path",),
    }
    if source not in sources:
        raise FormatError(f"unknown source {source!r}", "PATH, ORIG or ORIG_OR_PATH")
    get = _of_request(*map(_header, sources[source]))
    if query != "NQ":
        return get

    def get_without_query(info: StreamInfo) -> Value:
        path = get(info)
        return without_query(path) if isinstance(path, bytes) else None

    return get_without_query


def _query_param(parameter: str | None) -> Getter:
    """The first parameter of that name, percent-decoded."""
    wanted = required(parameter, "the name of a query parameter").encode()

    def get(request: Request) -> bytes | None:
        for pair in _query(request).split(b"&"):
            name, _, value = pair.partition(b"=")
            if unquote_to_bytes(name) == wanted:
                return one_line(unquote_to_bytes(value))
        return None

    return _of_request(get)


def _query_params(parameter: str | None) -> Getter:
    """All of the query, as it came."""
    if parameter not in (None, "ORIG", "DECODED"):
        raise FormatError(f"unknown option {parameter!r}", "ORIG or DECODED")
    if parameter == "DECODED":
        return _of_request(lambda request: _decoded(_whole_query(request)))
    return _of_request(_whole_query)


def _whole_query(request: Request) -> bytes | None:
    _, mark, query = request.path.partition(b"?")
    return query if mark else None


# Envoy decodes what stands for a character that a URL may have, and leaves a `%` out that stands for none.
_ESCAPED = re.compile(
    rb"%(?:(2[13-9A-Fa-f]|3[0-9ABDFabdf]|[46][0-9A-Fa-f]|5[0-9ABDFabdf]|7[0-9AEae])|(?=[0-9A-Fa-f]{2})|(?=..))"
)


def _decoded(query: bytes | None) -> bytes | None:
    if query is None or b"%" not in query:
        return query
    return _ESCAPED.sub(_decode, query)


def _decode(found: re.Match[bytes]) -> bytes:
    if found[1] is not None:
        return bytes.fromhex(found[1].decode())
    return b"%" if found.string[found.end() : found.end() + 2].strip(b"0123456789abcdefABCDEF") == b"" else b""


def _query(request: Request) -> bytes:
    return request.path.partition(b"#")[0].partition(b"?")[2]


def _protocol(info: StreamInfo) -> Value:
    """A head that could not be read was HTTP/1.1 to Envoy's codec; a TCP connection has no protocol, nor has one that
    brought no request.
    """
    if info.request is not None:
        return info.request.protocol.encode() or None
    if info.log_type == b"NotSet" and (not info.bytes_received or Flag.DOWNSTREAM_PROTOCOL_ERROR in info.flags):
        return None
    return b"HTTP/1.1" if info.is_http else None


def _unique_id(info: StreamInfo) -> Value:
    return request_id.generate()


OPERATORS: dict[str, Build] = {
    "REQ": _req,
    "REQ_WITHOUT_QUERY": _req_without_query,
    "REQUEST_HEADER": _req,
    "PATH": _path,
    "PROTOCOL": plain(_protocol),
    "QUERY_PARAM": _query_param,
    "QUERY_PARAMS": _query_params,
    "STREAM_ID": plain(_of_request(_header("x-request-id"))),
    "UNIQUE_ID": plain(_unique_id),
}
