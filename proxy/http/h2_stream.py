"""One stream's place in a connection: its windows, what waits for them, and which sides have ended (RFC 9113 5.1)."""

from __future__ import annotations

from collections import deque

from proxy.http.headers import Headers


class Meter:
    """Bytes of one stream on the wire, and those of its header blocks among them; both with their frames' heads."""

    __slots__ = ("header_received", "header_sent", "received", "sent")

    def __init__(self) -> None:
        self.received = self.sent = self.header_received = self.header_sent = 0

    def count_head(self, size: int) -> None:
        """A header block has come, in `size` bytes with its frame's head."""
        self.received += size
        self.header_received += size


class Stream:
    """`send_window` and `receive_window` are in bytes, `window` is the latter with nothing on its way; `consumed` have
    been read by whoever wanted them, and are not yet given back to the peer. `queue` waits for windows, `queued` bytes
    of it; `ends`: what waits is the last, but for `trailers`. `local_ended` and `remote_ended` say which side has sent
    its end. `expected`: body bytes that the head promised, -1 if none; `promised`: those of ours that are still to be
    sent. `informational` counts 1xx responses. `opened_at` is the time that `receive` was given. `tunnel`: its data is
    a tunnel's, or would be; `protocol`: which one an extended CONNECT of ours has asked for. `tells_head`: its response
    is told as an `AnswerReceived`.
    """

    __slots__ = (
        "answered",
        "consumed",
        "ends",
        "expected",
        "headed",
        "id",
        "informational",
        "local_ended",
        "meter",
        "no_body",
        "opened_at",
        "promised",
        "protocol",
        "queue",
        "queued",
        "receive_window",
        "received",
        "remote_ended",
        "send_window",
        "tells_head",
        "trailers",
        "tunnel",
        "window",
    )

    def __init__(self, stream_id: int, send_window: int, receive_window: int, opened_at: float = 0.0) -> None:
        self.id = stream_id
        self.send_window = send_window
        self.receive_window = self.window = receive_window
        self.consumed = 0
        self.queue: deque[bytes | memoryview] | None = None  # most streams never need one
        self.queued = 0
        self.ends = False
        self.trailers: Headers | None = None
        self.local_ended = False
        self.remote_ended = False
        self.expected = -1
        self.received = 0
        self.promised = -1
        self.informational = 0
        self.opened_at = opened_at
        self.answered = False  # its response's head went out, or came
        self.headed = False  # its request's head went out, or came
        self.no_body = False  # its response has none, whatever content-length says
        self.tells_head = False
        self.tunnel = False
        self.protocol = b""
        self.meter = Meter()
