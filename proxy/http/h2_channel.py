"""One stream of an HTTP/2 connection, as whoever serves it sees it: what comes, and the wait for its windows.

The connection's reader puts in what comes; how much that can be is the stream's window, which is given back as the body
is read: with the next piece that is asked for, since who asks has got rid of the one before. So a stream that nobody
reads stops by itself, and no other one does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from proxy.http.events import DataReceived, Event, StreamEnded
from proxy.http.h2_connection import H2Connection
from proxy.limits import FAIR_BURST, READ_SIZE
from proxy.net.bell import Bell


class Link(Protocol):
    """The connection that carries the stream."""

    def wake_writer(self) -> None:
        """There is something to send."""


class H2Channel:
    """`error` is why the stream is over before its exchange is, None while it is not. Receiving and sending may be two
    tasks.
    """

    __slots__ = (
        "_arrived",
        "_body",
        "_burst",
        "_end",
        "_heads",
        "_link",
        "_on_failure",
        "_owed",
        "_sent",
        "codec",
        "error",
        "stream_id",
    )

    def __init__(self, link: Link, codec: H2Connection, stream_id: int = 0) -> None:
        self._link = link
        self.codec = codec
        self.stream_id = stream_id
        self.error: Exception | None = None
        self._heads: list[Event] = []  # one, as a rule; a deque has room for 64
        self._body = bytearray()
        self._end: StreamEnded | None = None
        self._burst = 0
        self._owed = 0  # bytes of the piece that was taken last
        self._arrived = Bell()
        self._sent = Bell()
        self._on_failure: Callable[[], None] | None = None

    # --- the connection's side ----------------------------------------------------------------------------------------

    def put(self, event: Event) -> None:
        """This has come."""
        if isinstance(event, DataReceived):
            self._body += event.data
        elif isinstance(event, StreamEnded):
            self._end = event
        else:
            self._heads.append(event)
        self._arrived.ring()

    def ring(self) -> None:
        """What was queued has gone."""
        self._sent.ring()

    def fail(self, error: Exception) -> None:
        """The stream is over."""
        self.error = error
        self._arrived.ring()
        self._sent.ring()
        if self._on_failure is not None:
            self._on_failure()

    # --- the exchange's side ------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        return bool(self._heads or self._body or self._end)

    def has_head(self) -> bool:
        """Whether a head has come."""
        return self.pending

    @property
    def read_size(self) -> int:
        """How many bytes for the peer are worth having at once."""
        return self.codec.share(self.stream_id)

    def whole_within(self, size: int) -> bool:
        """Whether all that is left of the body is here, and no more than that."""
        return self._end is not None and len(self._body) <= size

    async def receive(self, size: int = READ_SIZE) -> Event:
        """What came next, in pieces of `size` at most; raises `error` once all that came has been taken."""
        if self._owed:
            self._credit(0)
        while True:
            if self._heads:
                return self._heads.pop(0)
            if self._body:
                return await self._next(size)
            if self._end is not None:
                end, self._end = self._end, None
                return end
            if self.error is not None:
                raise self.error
            self._burst = 0
            await self._arrived.wait()

    async def _next(self, size: int) -> DataReceived:
        self._burst += 1
        if self._burst > FAIR_BURST:
            self._burst = 0
            await trio.lowlevel.checkpoint()
        data = self._cut(size)
        self._owed = len(data)
        return DataReceived(self.stream_id, data)

    def _cut(self, size: int) -> bytes:
        """The first bytes of what has come."""
        data = bytes(self._body[:size])
        if len(data) == len(self._body):
            self._body = bytearray()  # which holds nothing; that one has room for what has gone
        else:
            del self._body[:size]
        return data

    def _credit(self, size: int) -> None:
        """`size` bytes, and those that are owed, are used up: the peer may send others."""
        size, self._owed = size + self._owed, 0
        self.codec.credit(self.stream_id, size)
        if self.codec.has_output:
            self._link.wake_writer()

    async def flush(self) -> None:
        """Until all that was queued of this stream is within the peer's windows and on its way."""
        self._link.wake_writer()
        await self.wait_unblocked()

    def close(self) -> None:
        """The exchange is over: what it has not read, nobody will."""
        if self._owed or self._body:
            self._credit(len(self._body))
            self._body.clear()

    # --- a tunnel's side (`TunnelStream`) -----------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        return self.codec.queued(self.stream_id) > 0

    @property
    def lost(self) -> bool:
        return self.error is not None

    def take(self, size: int) -> bytes | None:
        if self._body:
            data = self._cut(size)
            self._credit(len(data))
            return data
        return b"" if self._end is not None else None

    def send(self, data: bytes) -> None:
        self.codec.send_data(self.stream_id, data)
        self._link.wake_writer()

    def finish(self) -> None:
        self.codec.send_end(self.stream_id)
        self._link.wake_writer()

    def on_failure(self, call: Callable[[], None] | None) -> None:
        self._on_failure = call

    async def wait_arrival(self) -> None:
        while not (self._body or self._end or self.error):
            await self._arrived.wait()

    async def wait_unblocked(self) -> None:
        while self.blocked and self.error is None:
            await self._sent.wait()
