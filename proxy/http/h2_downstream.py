"""One stream of a downstream HTTP/2 connection, as its exchange sees it: `Downstream`."""

from __future__ import annotations

from typing import Protocol

from proxy.http.codec_h2_server import H2ServerCodec
from proxy.http.events import RequestReceived
from proxy.http.h2_channel import H2Channel
from proxy.http.h2_stream import Meter
from proxy.http.h2_tunnel import StreamEnd
from proxy.net import passage
from proxy.net.connection import Connection
from proxy.net.relay_end import Count, End


class Link(Protocol):
    """The connection that carries the stream."""

    connection: Connection
    codec: H2ServerCodec

    def wake_writer(self) -> None:
        """There is something to send."""


class H2Downstream(H2Channel):
    """`head` is the request's, unless it was refused."""

    __slots__ = ("connection", "meter")

    multiplexed = True
    torn = False
    splices = False
    body_ahead = 0
    body_room = 0
    codec: H2ServerCodec

    def __init__(
        self, link: Link, stream_id: int, head: RequestReceived | None = None, meter: Meter | None = None
    ) -> None:
        super().__init__(link, link.codec, stream_id)
        self.connection = link.connection
        self.meter = meter
        if head is not None:
            self.put(head)

    def fill(self, carrier: passage.Carrier, limit: int) -> int | None:
        """Nothing goes around (`body_ahead`)."""
        raise AssertionError

    def leave_http(self, received: Count, sent: Count) -> tuple[End, bytes]:
        return StreamEnd(self, received, sent), b""
