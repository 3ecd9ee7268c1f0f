"""`envoy.filters.http.grpc_http1_bridge`: clients of HTTP/1.1 call gRPC upstreams, one message each way."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.filters.context import FilterContext
from proxy.http import grpc
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import CallNext
from proxy.http.headers import Headers
from proxy.http.response_edits import HeldBody, ResponseEdit, ResponseHead

PROTO = "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config"
FIELDS: dict[str, tuple[str, ...]] = {PROTO: ("upgrade_protobuf_to_grpc", "ignore_query_parameters")}

_PROTOBUF = b"application/x-protobuf"


class GrpcHttp1Bridge:
    """A response waits for its trailers, whose status becomes one of HTTP/1: 503 for whatever is no success."""

    terminal = False

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`Config`. `upgrade`: a message that is sent as it is gets gRPC's frame, and its answer loses it."""

        upgrade: bool = False
        ignore_query: bool = False

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `Config` message."""
        return cls.Config(message.upgrade_protobuf_to_grpc, message.ignore_query_parameters)

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self.name = name
        self._config = config
        self._limit = context.buffer_limit

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        request = exchange.request
        upgraded = self._config.upgrade and request.headers.joined(b"content-type") == _PROTOBUF
        if upgraded:
            request.headers.set(b"content-type", grpc.CONTENT_TYPE)
            request.headers.remove(b"content-length")
            exchange.clear_route_cache()
        if request.protocol.startswith("HTTP/1") and grpc.is_request(request.headers):
            if self._config.ignore_query:
                request.path = request.path.partition(b"?")[0]
            exchange.edit_response(_Unframed(self._limit) if upgraded else _Whole(self._limit))
            if upgraded and not exchange.body.ended:
                message = await exchange.body.read_all(self._limit)
                exchange.body.hold(grpc.frame_head(len(message)) + message)
        await call_next(exchange)


class _Whole(ResponseEdit):
    """A response that waits for its trailers."""

    resizes = False

    def __init__(self, limit: int) -> None:
        self._body = HeldBody(limit)
        self._head: ResponseHead | None = None

    def begin(self, head: ResponseHead, *, end_stream: bool) -> None:
        self._head = head
        self.holds = not end_stream

    def feed(self, data: bytes) -> bytes:
        self._body.add(data)
        return b""

    def finish(self, trailers: Headers | None) -> tuple[bytes, Headers | None]:
        assert self._head is not None
        body, headers = self.message(self._body.take()), self._head.headers
        if trailers is not None:
            status = trailers.get(grpc.STATUS)
            if status is not None:
                if not status.isdigit() or int(status):
                    self._head.status = 503
                headers.set(grpc.STATUS, status)
            if (said := trailers.get(grpc.MESSAGE)) is not None:
                headers.set(grpc.MESSAGE, said)
        if trailers is not None or b"content-length" in headers:
            headers.set(b"content-length", b"%d" % len(body))
        return body, trailers

    def message(self, body: bytes) -> bytes:
        """What the client gets of the body."""
        return body


class _Unframed(_Whole):
    """The same without gRPC's frame around the message, if it is one."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._framed = False

    def begin(self, head: ResponseHead, *, end_stream: bool) -> None:
        super().begin(head, end_stream=end_stream)
        self._framed = grpc.is_response(head.status, head.headers, end_stream=False)

    def message(self, body: bytes) -> bytes:
        return body[grpc.FRAME_HEAD :] if self._framed else body
