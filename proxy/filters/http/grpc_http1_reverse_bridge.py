"""`envoy.filters.http.grpc_http1_reverse_bridge`: gRPC clients call upstreams that know HTTP alone."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.errors import ProxyError
from proxy.filters.context import FilterContext
from proxy.http import grpc
from proxy.http.exchange import Exchange
from proxy.http.grpc import FRAME_HEAD, GrpcStatus
from proxy.http.headers import Headers
from proxy.http.response_edits import HeldBody, ResponseEdit, ResponseHead
from proxy.http.stream_info import StreamInfo

PACKAGE = "envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.FilterConfig": ("content_type", "withhold_grpc_frames", "response_size_header"),
    f"{PACKAGE}.FilterConfigPerRoute": ("disabled",),
}


class GrpcHttp1ReverseBridge:
    """The upstream gets another content type, and gives it back. It may be spared the frames of messages."""

    terminal = False

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`FilterConfig`. `size_header` names the field in which an upstream says how long its message is, which then
        need not be held.
        """

        content_type: bytes
        withhold_frames: bool = False
        size_header: bytes = b""

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `FilterConfig` message."""
        if message.response_size_header and not message.withhold_grpc_frames:
            context.error(
                ("response_size_header",), "the size of messages that keep their frames", "withhold_grpc_frames: true"
            )
        return cls.Config(
            message.content_type.encode(), message.withhold_grpc_frames, message.response_size_header.lower().encode()
        )

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self._name = name
        self._config = config
        self._limit = context.buffer_limit

    def on_request_headers(self, exchange: Exchange) -> None:
        headers, config = exchange.request.headers, self._config
        kind = headers.joined(b"content-type")
        if exchange.body.ended or kind is None or not grpc.is_request(headers):
            return
        override = exchange.filter_config(self._name)
        if override is not None and override.disabled:
            return
        headers.set(b"content-type", config.content_type)
        headers.set(b"accept", config.content_type)
        if config.withhold_frames:
            _adjust_length(headers, -FRAME_HEAD)
            exchange.body.transform(_Unframed())
        exchange.clear_route_cache()
        if not config.withhold_frames:
            exchange.edit_response(_Restored(config, kind, exchange.info))
        elif config.size_header:
            exchange.edit_response(_Streamed(config, kind, exchange.info))
        else:
            exchange.edit_response(_Framed(config, kind, exchange.info, self._limit))


class GrpcHttp1ReverseBridgePerRoute:
    """`FilterConfigPerRoute`."""

    class Config(msgspec.Struct, frozen=True, gc=False):
        """Whether requests of the route go past the filter."""

        disabled: bool

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `FilterConfigPerRoute` message."""
        return cls.Config(message.disabled)


class _Unframed:
    """A request's body without the frame of its message."""

    def __init__(self) -> None:
        self._head = b""

    def feed(self, data: bytes) -> bytes:
        missing = FRAME_HEAD - len(self._head)
        self._head += data[:missing]
        return data[missing:]

    def finish(self) -> bytes:
        if len(self._head) < FRAME_HEAD:
            raise _failure("grpc_bridge_data_too_small", GrpcStatus.UNKNOWN, "invalid request body")
        return b""


class _Restored(ResponseEdit):
    """An answer in HTTP as one of gRPC: its status goes behind it. A local reply is in gRPC already."""

    resizes = False

    def __init__(self, config: GrpcHttp1ReverseBridge.Config, kind: bytes, info: StreamInfo) -> None:
        self._config = config
        self._kind = kind
        self._info = info
        self._status = GrpcStatus.OK

    def begin(self, head: ResponseHead, *, end_stream: bool) -> None:
        if end_stream and self._info.detail != "via_upstream":
            return
        self.translate(head, end_stream=end_stream)

    def translate(self, head: ResponseHead, *, end_stream: bool) -> None:
        """The head of an upstream."""
        theirs = head.headers.joined(b"content-type")
        if theirs != self._config.content_type:
            raise _failure("grpc_bridge_content_type_wrong", GrpcStatus.UNKNOWN, _foreign(theirs, head.status))
        head.headers.set(b"content-type", self._kind)
        self.measure(head)
        self._status = GrpcStatus.OK if head.status == 200 else grpc.of_http(head.status)
        head.status = 200

    def measure(self, head: ResponseHead) -> None:
        """Find out how long the response will be."""

    def finish(self, trailers: Headers | None) -> tuple[bytes, Headers | None]:
        trailers = trailers or Headers()
        trailers.set(grpc.STATUS, b"%d" % self._status)
        return b"", trailers


class _Framed(_Restored):
    """Such an answer in gRPC's frame, for which it has to be whole."""

    def __init__(self, config: GrpcHttp1ReverseBridge.Config, kind: bytes, info: StreamInfo, limit: int) -> None:
        super().__init__(config, kind, info)
        self._body = HeldBody(limit)

    def translate(self, head: ResponseHead, *, end_stream: bool) -> None:
        super().translate(head, end_stream=end_stream)
        self.holds = True
        if end_stream:
            head.headers.set(b"content-length", b"%d" % FRAME_HEAD)

    def measure(self, head: ResponseHead) -> None:
        _adjust_length(head.headers, FRAME_HEAD)

    def feed(self, data: bytes) -> bytes:
        self._body.add(data)
        return b""

    def finish(self, trailers: Headers | None) -> tuple[bytes, Headers | None]:
        body = self._body.take()
        return grpc.frame_head(len(body)) + body, super().finish(trailers)[1]


class _Streamed(_Restored):
    """The same for an upstream that says how long its message is."""

    def __init__(self, config: GrpcHttp1ReverseBridge.Config, kind: bytes, info: StreamInfo) -> None:
        super().__init__(config, kind, info)
        self._expected = self._seen = 0
        self._framed = False

    def translate(self, head: ResponseHead, *, end_stream: bool) -> None:
        super().translate(head, end_stream=end_stream)
        if end_stream:
            head.headers.set(b"content-length", b"%d" % FRAME_HEAD)
            self.holds = True

    def measure(self, head: ResponseHead) -> None:
        said = (head.headers.get(self._config.size_header) or b"").partition(b",")[0].strip()
        if not said.isdigit() or len(said) > 10 or int(said) >= 2**32:
            raise _failure(
                "grpc_bridge_content_length_missing",
                GrpcStatus.INTERNAL,
                "envoy reverse bridge: upstream did not set content length",
            )
        self._expected = int(said)
        head.headers.set(b"content-length", b"%d" % (self._expected + FRAME_HEAD))

    def feed(self, data: bytes) -> bytes:
        self._seen += len(data)
        if self._framed:
            return data
        self._framed = True
        return grpc.frame_head(self._expected) + data

    def finish(self, trailers: Headers | None) -> tuple[bytes, Headers | None]:
        trailers = super().finish(trailers)[1]
        if not self._framed:
            return grpc.frame_head(0), trailers
        if self._seen != self._expected:
            raise _failure(
                "grpc_bridge_content_length_wrong",
                GrpcStatus.INTERNAL,
                "envoy reverse bridge: upstream set incorrect content length",
            )
        return b"", trailers


def _adjust_length(headers: Headers, by: int) -> None:
    length = headers.get(b"content-length") or b""
    if length.isdigit() and int(length):
        headers.set(b"content-length", b"%d" % max(0, int(length) + by))


def _foreign(kind: bytes | None, status: int) -> str:
    if kind is None:
        return f"envoy reverse bridge: upstream responded with no content-type header, status code {status}"
    said = kind.decode("latin-1")
    return f"envoy reverse bridge: upstream responded with unsupported content-type {said}, status code {status}"


def _failure(detail: str, status: GrpcStatus, message: str) -> ProxyError:
    return ProxyError(detail, side="upstream", status=200, grpc_status=status, body=message)
