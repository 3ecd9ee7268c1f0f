"""`envoy.filters.http.grpc_web`: calls of browsers, which have no trailers, to gRPC upstreams."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.errors import ProxyError
from proxy.filters.context import FilterContext
from proxy.filters.grpc_counters import CallCounters, GrpcCounters
from proxy.http import grpc
from proxy.http.exchange import Exchange
from proxy.http.headers import Headers
from proxy.http.response_edits import ResponseEdit, ResponseHead

FIELDS: dict[str, tuple[str, ...]] = {"envoy.extensions.filters.http.grpc_web.v3.GrpcWeb": ()}

_BINARY = (b"application/grpc-web", b"application/grpc-web+proto")
_TEXT = (b"application/grpc-web-text", b"application/grpc-web-text+proto")
_ACCEPTED = b"identity"
_TRAILERS = 0x80
"""The flag of the frame that has the trailers."""


class GrpcWeb:
    """Requests of its four content types become gRPC, their responses gRPC-Web, in base64 where the client asks."""

    terminal = False

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`GrpcWeb`, which has no fields."""

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `GrpcWeb` message."""
        return cls.Config()

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self.name = name
        self._counters = GrpcCounters(context.stats, "grpc-web")

    def on_request_headers(self, exchange: Exchange) -> None:
        headers = exchange.request.headers
        kind = headers.joined(b"content-type")
        if kind not in _BINARY and kind not in _TEXT:
            return
        headers.remove(b"content-length")
        names = grpc.service_and_method(exchange.request.path)
        counters = self._counters.of(exchange, names) if names is not None else None
        headers.set(b"content-type", grpc.CONTENT_TYPE)
        headers.set(b"te", b"trailers")
        if b"grpc-accept-encoding" not in headers:
            headers.add(b"grpc-accept-encoding", _ACCEPTED)
        text = headers.joined(b"accept") in _TEXT
        exchange.edit_response(_ToTextOfWeb(counters) if text else _ToWeb(counters))
        if kind in _TEXT:
            exchange.body.transform(_FromBase64())


class _ToWeb(ResponseEdit):
    """A gRPC response as a browser gets it: its trailers are the last frame of its body. One that is no gRPC at all
    gets a status, with its body as the message.
    """

    content_type = _BINARY[1]

    def __init__(self, counters: CallCounters | None) -> None:
        self._counters = counters
        self._head: ResponseHead | None = None
        self._message = b""

    def begin(self, head: ResponseHead, *, end_stream: bool) -> None:
        self._charge(head.headers)
        foreign = not grpc.is_response(head.status, head.headers, end_stream=end_stream) and not _is_web(head)
        head.headers.remove(b"content-length")
        head.headers.set(b"content-type", self.content_type)
        if foreign and not end_stream:
            self._head = head
            self.holds = True

    def feed(self, data: bytes) -> bytes:
        if self._head is None:
            return self.encode(data)
        self._message += data[: grpc.MAX_MESSAGE - len(self._message)]
        return b""

    def finish(self, trailers: Headers | None) -> tuple[bytes, Headers | None]:
        self._charge(trailers)
        if self._head is not None:
            self._head.headers.set(grpc.MESSAGE, grpc.encode_message(self._message))
            self._head.headers.set(grpc.STATUS, b"%d" % grpc.of_http(self._head.status))
            self._head.headers.set(b"content-length", b"0")
            return b"", trailers
        rest = self.encode(b"", last=True)
        if trailers is None:
            return rest, None
        fields = b"".join(b"%b:%b\r\n" % field for field in trailers)
        return rest + self.encode(grpc.frame_head(len(fields), _TRAILERS) + fields), None

    def encode(self, data: bytes, *, last: bool = False) -> bytes:
        """Frames, or parts of them, as they go out."""
        return data

    def _charge(self, fields: Headers | None) -> None:
        if self._counters is not None:
            self._counters.charge(fields)


class _ToTextOfWeb(_ToWeb):
    """The same in base64, each frame by itself. A frame is not held until it is whole: three bytes are enough."""

    content_type = _TEXT[1]

    def __init__(self, counters: CallCounters | None) -> None:
        super().__init__(counters)
        self._pending = b""
        self._left = 0  # bytes of the frame that are still to come; 0 before its head is known

    def encode(self, data: bytes, *, last: bool = False) -> bytes:
        pending = self._pending + data
        encoded = []
        while pending:
            if not self._left:
                if len(pending) < grpc.FRAME_HEAD and not last:
                    break
                self._left = grpc.FRAME_HEAD + int.from_bytes(pending[1 : grpc.FRAME_HEAD], "big")
            size = min(self._left, len(pending))
            if size < self._left and not last:
                size -= size % 3
            if not size:
                break
            encoded.append(base64.b64encode(pending[:size]))
            self._left = 0 if last and size == len(pending) else self._left - size
            pending = pending[size:]
        self._pending = pending
        return b"".join(encoded)


class _FromBase64:
    """A request's body, which may be several pieces of base64 one after the other."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> bytes:
        data = self._pending + data
        whole = len(data) // 4 * 4
        self._pending = data[whole:]
        return b"".join(map(_decode, _pieces(data[:whole])))

    def finish(self) -> bytes:
        if self._pending:
            raise _bad_base64("grpc_base_64_decode_failed_bad_size")
        return b""


def _pieces(data: bytes) -> list[bytes]:
    """`data` cut behind each padding."""
    found, start = [], 0
    while (at := data.find(b"=", start)) >= 0:
        end = at + 4 - at % 4
        found.append(data[start:end])
        start = end
    return [*found, data[start:]]


def _decode(piece: bytes) -> bytes:
    try:
        return binascii.a2b_base64(piece, strict_mode=True)
    except binascii.Error as error:
        raise _bad_base64("grpc_base_64_decode_failed") from error


def _bad_base64(detail: str) -> ProxyError:
    return ProxyError(detail, side="downstream", status=400, body="Bad gRPC-web request, invalid base64 data.")


def _is_web(head: ResponseHead) -> bool:
    """Whether the upstream speaks gRPC-Web itself."""
    kind = (head.headers.joined(b"content-type") or b"").partition(b";")[0].rstrip().lower()
    return head.status == 200 and kind in _BINARY
