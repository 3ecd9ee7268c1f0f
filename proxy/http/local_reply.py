"""`ProxyError` → response. The only place where one becomes the other (style rule 12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.errors import ProxyError
from proxy.http import grpc
from proxy.http.headers import Headers
from proxy.http.stream_info import NO_STATUS, StreamInfo
from proxy.route.finish import EditHeaders

_JSON = b"application/json"
"""A body of this type is a line, whose end is no part of a message; Envoy goes by the type, too."""


@dataclass(slots=True)
class LocalReply:
    """A reply in the making. `content_type` is the body's, unless `headers` have one."""

    status: int
    headers: Headers
    body: bytes
    content_type: bytes = b"text/plain"


Rewrite = Callable[[LocalReply, StreamInfo], None]


def render(
    error: ProxyError,
    info: StreamInfo,
    edit: EditHeaders | None = None,
    rewrite: Rewrite | None = None,
    *,
    to_grpc: bool = False,
) -> LocalReply:
    """The reply to `error`, with its headers in Envoy's order (features §13 rule 28): the route's `edit` comes first
    (rule 9), then `rewrite`, which may change all of it, and then what the body's own headers say. The caller leaves
    the body out for HEAD; an empty one has no `content-type`. `to_grpc`: a gRPC client asks.
    """
    body = error.body.encode() if isinstance(error.body, str) else error.body
    reply = LocalReply(error.status, Headers(error.headers), body)
    info.response_headers = reply.headers  # which the two may tell
    if edit is not None:
        decided, info.status = info.status, NO_STATUS  # which a route's edits do not see yet, as in Envoy
        edit(reply.headers, info)
        info.status = decided
    if rewrite is not None:
        rewrite(reply, info)
    if to_grpc:
        status = grpc.of_http(reply.status) if error.grpc_status is None else error.grpc_status
        _to_grpc(reply, status, tell=info.request is None or info.request.method != b"HEAD")
    elif reply.body:
        reply.headers.set(b"content-length", b"%d" % len(reply.body))
        if b"content-type" not in reply.headers:
            reply.headers.add(b"content-type", reply.content_type)
    else:
        reply.headers.remove(b"content-length")
        reply.headers.remove(b"content-type")
    return reply


def _to_grpc(reply: LocalReply, status: int, *, tell: bool) -> None:
    """A response of headers alone, whose `status` says what the HTTP status would have said (rule 29). `tell`: with the
    body as its message.
    """
    headers = reply.headers
    headers.remove(b"content-length")
    headers.set(b"content-type", grpc.CONTENT_TYPE)
    headers.set(grpc.STATUS, b"%d" % status)
    if reply.body and tell:
        text = reply.body.removesuffix(b"\n") if reply.content_type == _JSON else reply.body
        headers.set(grpc.MESSAGE, grpc.encode_message(text))
    reply.status, reply.body = 200, b""
