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
from proxy.http.h2_tunnel import StreamEnd
from proxy.limits import FAIR_BURST, LEAST_READ, READ_SIZE
from proxy.net import passage
from proxy.net.bell import Bell
from proxy.net.connection import Connection
from proxy.net.relay_end import Count, End


class Link(Protocol):
    """The connection that carries the stream."""

    connection: Connection
    codec: H2ServerCodec

    def wake_writer(self) -> None:
        """There is something to send."""


class H2Downstream:
    """`error` is why the stream is over before its exchange is, None while it is not."""

    __slots__ = (
        "_arrived",
        "_body",
        "_burst",
        "_drained",
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
        self._arrived = Bell()  # one task may receive while another one sends
        self._drained = Bell()

    # --- the connection's side ----------------------------------------------------------------------------------------

    def put(self, event: DataReceived | StreamEnded) -> None:
        """This has come."""
        if isinstance(event, DataReceived):
            self._body += event.data
        else:
            self._end = event
        self._arrived.ring()

    def ring(self) -> None:
        """What was queued has gone."""
        self._drained.ring()

    def fail(self, error: ProxyError) -> None:
        """The stream is over."""
        self.error = error
        self._arrived.ring()
        self._drained.ring()

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
                return await self._next()
            if self._end is not None:
                end, self._end = self._end, None
                return end
            if self.error is not None:
                raise self.error
            self._burst = 0
            await self._arrived.wait()

    async def _next(self) -> DataReceived:
        self._burst += 1
        if self._burst > FAIR_BURST:
            self._burst = 0
            await trio.lowlevel.checkpoint()
        return DataReceived(self.stream_id, self._cut(READ_SIZE))

    def _cut(self, size: int) -> bytes:
        """The first bytes of what has come, for which the client may send others."""
        data = bytes(self._body[:size])
        del self._body[:size]
        self.codec.credit(self.stream_id, len(data))
        if self.codec.has_output:
            self._link.wake_writer()
        return data

    async def flush(self) -> None:
        """Until all that was queued of this stream is within the client's windows and on its way."""
        self._link.wake_writer()
        await self.wait_unblocked()

    def fill(self, carrier: passage.Carrier, limit: int) -> int | None:
        """Nothing goes around (`body_ahead`)."""
        raise AssertionError

    def leave_http(self, received: Count, sent: Count) -> tuple[End, bytes]:
        return StreamEnd(self, received, sent), b""

    # --- a tunnel's side (`TunnelStream`) -----------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        return self.codec.queued(self.stream_id) > 0

    @property
    def lost(self) -> bool:
        return self.error is not None

    def take(self, size: int) -> bytes | None:
        if self._body:
            return self._cut(size)
        return b"" if self._end is not None else None

    def send(self, data: bytes) -> None:
        self.codec.send_data(self.stream_id, data)
        self._link.wake_writer()

    def finish(self) -> None:
        self.codec.send_end(self.stream_id)
        self._link.wake_writer()

    async def wait_arrival(self) -> None:
        while not (self._body or self._end or self.error):
            await self._arrived.wait()

    async def wait_unblocked(self) -> None:
        while self.blocked and self.error is None:
            await self._drained.wait()
