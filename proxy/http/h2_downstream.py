"""One stream of a downstream HTTP/2 connection, as its exchange sees it: `Downstream`.

The connection's reader puts in what comes; how much that can be is the stream's window, which is given back as the body
is read. So a stream that nobody reads stops by itself, and no other one does.
"""

from __future__ import annotations

from typing import Protocol

import trio

from proxy.errors import ProxyError
from proxy.http.codec_h2_server import H2ServerCodec
from proxy.http.events import DataReceived, Event, RequestReceived, StreamEnded
from proxy.http.h2_stream import Meter
from proxy.limits import FAIR_BURST, LEAST_READ, READ_SIZE
from proxy.net import passage
from proxy.net.bell import Bell
from proxy.net.connection import Connection


class Link(Protocol):
    """The connection that carries the stream."""

    connection: Connection
    codec: H2ServerCodec

    def wake_writer(self) -> None:
        """There is something to send."""


class H2Downstream:
    """`error` is why the stream is over before its exchange is, None while it is not."""

    __slots__ = (
        "_bell",
        "_body",
        "_burst",
        "_end",
        "_head",
        "_link",
        "codec",
        "connection",
        "error",
        "meter",
        "stream_id",
    )

    multiplexed = True
    torn = False
    splices = False
    body_ahead = 0
    body_room = 0

    def __init__(
        self, link: Link, stream_id: int, head: RequestReceived | None = None, meter: Meter | None = None
    ) -> None:
        self._link = link
        self.connection = link.connection
        self.codec = link.codec
        self.stream_id = stream_id
        self.error: ProxyError | None = None
        self._head = head
        self.meter = meter
        self._body = bytearray()
        self._end: StreamEnded | None = None
        self._burst = 0
        self._bell = Bell()

    # --- the connection's side ----------------------------------------------------------------------------------------

    def put(self, event: DataReceived | StreamEnded) -> None:
        """This has come."""
        if isinstance(event, DataReceived):
            self._body += event.data
        else:
            self._end = event
        self._bell.ring()

    def ring(self) -> None:
        """What was queued has gone."""
        self._bell.ring()

    def fail(self, error: ProxyError) -> None:
        """The stream is over."""
        self.error = error
        self._bell.ring()

    def close(self) -> None:
        """The exchange is over: what it has not read, nobody will."""
        if self._body:
            self.codec.credit(self.stream_id, len(self._body))
            self._body.clear()

    # --- the exchange's side ------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        return bool(self._head or self._body or self._end)

    @property
    def read_size(self) -> int:
        """How many bytes of the response are worth having at once: this stream's share of the room that there is."""
        return max(LEAST_READ, self.codec.room(self.stream_id) // max(1, self.codec.streams))

    def whole_within(self, size: int) -> bool:
        return self._end is not None and len(self._body) <= size

    async def receive(self) -> Event:
        while True:
            if self._head is not None:
                head, self._head = self._head, None
                return head
            if self._body:
                return await self._take()
            if self._end is not None:
                end, self._end = self._end, None
                return end
            if self.error is not None:
                raise self.error
            self._burst = 0
            await self._bell.wait()

    async def _take(self) -> DataReceived:
        self._burst += 1
        if self._burst > FAIR_BURST:
            self._burst = 0
            await trio.lowlevel.checkpoint()
        data = bytes(self._body[:READ_SIZE])
        del self._body[:READ_SIZE]
        self.codec.credit(self.stream_id, len(data))
        if self.codec.has_output:
            self._link.wake_writer()
        return DataReceived(self.stream_id, data)

    async def flush(self) -> None:
        """Until all that was queued of this stream is within the client's windows and on its way."""
        self._link.wake_writer()
        while self.codec.queued(self.stream_id) and self.error is None:
            await self._bell.wait()

    def fill(self, carrier: passage.Carrier, limit: int) -> int | None:
        """Nothing goes around (`body_ahead`)."""
        raise AssertionError

    def take_tunnelled(self) -> bytes:
        data = bytes(self._body)
        self.close()
        return data
