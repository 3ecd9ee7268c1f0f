"""The codec seam: sans-IO, one implementation per HTTP version and role. No await, clock, socket or log inside."""

from __future__ import annotations

from typing import Protocol

from proxy.http.events import Event
from proxy.http.headers import Headers


class CodecError(Exception):
    """The peer broke the protocol, or a limit. Nothing more may be read from the connection.

    `status` is the answer a server owes its client (400, 426, 431, 501, 505…); `detail` is Envoy's response code
    detail (`http1.codec_error`, `http1.headers_too_large`…); `body` the reply's text.
    """

    def __init__(self, detail: str, *, status: int = 400, body: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.body = body


class Around(Protocol):
    """Body bytes that nobody looks at may go from socket to socket without passing a codec, which still says where the
    body ends. `body_ahead` of those that are received next may, and `received_around` tells that `count` of them did;
    `body_room` may be sent, and `send_around` announces `count` of them: they follow the output that is taken next.
    """

    @property
    def body_ahead(self) -> int: ...
    def received_around(self, count: int) -> None: ...
    @property
    def body_room(self) -> int: ...
    def send_around(self, stream_id: int, count: int) -> None: ...


class Sender(Protocol):
    """What an exchange sends its response by. `send_*` queue bytes for `take_output`."""

    def send_informational(self, stream_id: int, status: int, headers: Headers) -> None: ...
    def send_headers(self, stream_id: int, status: int, headers: Headers, *, end_stream: bool) -> None: ...
    def send_data(self, stream_id: int, data: bytes) -> None: ...
    def send_end(self, stream_id: int, trailers: Headers | None = None) -> None: ...
    def send_around(self, stream_id: int, count: int) -> None: ...
    def header_bytes_sent(self, stream_id: int) -> int:
        """How many bytes the fields of the response take on the wire, those of 1xx included; 0 if a `Meter` counts."""
        ...


class ServerCodec(Around, Sender, Protocol):
    """The downstream side of HTTP/1: requests in, responses out.

    `receive(b"")` means that the peer has finished sending. After a complete exchange the next request's events come
    from `next_exchange()` (pipelined bytes wait until then).
    """

    def receive(self, data: bytes) -> list[Event]: ...
    def next_exchange(self) -> list[Event]: ...
    def take_output(self) -> bytes: ...
    @property
    def begun(self) -> bool:
        """Whether bytes of a request have come that no event has told of yet."""
        ...

    @property
    def held(self) -> int:
        """How many bytes have come that no event has told of yet."""
        ...

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another exchange once this one is complete on both sides."""
        ...


class ClientCodec(Around, Protocol):
    """The upstream side: requests out, responses in."""

    def send_request(
        self,
        method: bytes,
        path: bytes,
        authority: bytes,
        headers: Headers,
        *,
        end_stream: bool,
    ) -> int:
        """Queue a request head; returns its stream id."""
        ...

    def send_data(self, stream_id: int, data: bytes) -> None: ...
    def send_end(self, stream_id: int, trailers: Headers | None = None) -> None: ...
    def receive(self, data: bytes) -> list[Event]: ...
    def take_output(self) -> bytes: ...
    def header_bytes_sent(self, stream_id: int) -> int:
        """How many bytes the fields of the request take on the wire."""
        ...

    @property
    def reusable(self) -> bool:
        """Whether the exchange ended so that the connection may carry another one."""
        ...
