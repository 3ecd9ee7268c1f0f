"""How large the heads are: names and values of Envoy's header map, which has the pseudo headers too."""

from __future__ import annotations

from proxy.access_log.operator import Build, Value, plain
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) for name, value in headers)


def request(info: StreamInfo) -> Value:
    head = info.request
    if head is None:
        return 0
    pseudo = (
        (b":authority", head.authority),
        (b":method", head.method),
        (b":path", head.path),
        (b":scheme", head.scheme),
    )
    return _size(head.headers) + sum(len(name) + len(value) for name, value in pseudo if value)


def response(info: StreamInfo) -> Value:
    headers = info.response_headers
    return 0 if headers is None else _size(headers) + len(b":status") + len(b"%d" % info.status)


def trailers(info: StreamInfo) -> Value:
    return 0 if info.response_trailers is None else _size(info.response_trailers)


OPERATORS: dict[str, Build] = {
    "REQUEST_HEADERS_BYTES": plain(request),
    "RESPONSE_HEADERS_BYTES": plain(response),
    "RESPONSE_TRAILERS_BYTES": plain(trailers),
}
