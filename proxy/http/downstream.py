"""What an exchange has of its client: a connection, or one stream of it, and its codec as one. Events in, bytes out."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from proxy.errors import Flag, ProxyError
from proxy.http.codec import CodecError, Sender, ServerCodec
from proxy.http.events import DataReceived, Event, StreamEnded
from proxy.net import passage
from proxy.net.connection import Connection
from proxy.net.peer import disconnected
from proxy.net.relay_end import Count, End, SocketEnd


def protocol_error(error: CodecError) -> ProxyError:
    """What a broken or oversized message is answered with; the connection ends with it (features §13 rules 14, 15)."""
    return ProxyError(
        error.detail,
        side="downstream",
        status=error.status,
        body=error.body,
        flag=None if error.detail == "missing_host_header" else Flag.DOWNSTREAM_PROTOCOL_ERROR,
        close=True,
    )


class Downstream(Protocol):
    """Of HTTP/1 the connection, `H1Downstream`; of HTTP/2 a stream, `proxy.http.h2_downstream.H2Downstream`.

    `multiplexed`: others share the connection, so that it does not end with the exchange.
    """

    connection: Connection

    @property
    def multiplexed(self) -> bool: ...
    @property
    def blocked(self) -> bool:
        """Whether what has been sent waits for the client's leave, so that no more of it should be held."""
        ...

    @property
    def codec(self) -> Sender: ...
    @property
    def torn(self) -> bool:
        """Whether the client has a part of something of which the rest will not follow: nothing else can, either."""
        ...

    @property
    def read_size(self) -> int:
        """How many bytes of the response are worth having at once; 0 for as many as come."""
        ...

    @property
    def pending(self) -> bool:
        """Whether `receive` has an event at hand and will not wait."""
        ...

    def has_head(self) -> bool:
        """Whether the request's head is here already, or what is wrong with it, so that `receive` will not wait."""
        ...

    def whole_within(self, size: int) -> bool:
        """Whether the rest of the request is here already and is at most `size` bytes."""
        ...

    @property
    def splices(self) -> bool:
        """Whether a pipe may carry bodies from and to this connection."""
        ...

    @property
    def body_ahead(self) -> int:
        """How many bytes that come next are of the request's body and may go around the codec."""
        ...

    @property
    def body_room(self) -> int:
        """How many bytes of the response's body may go around at once."""
        ...

    def fill(self, carrier: passage.Carrier, limit: int) -> int | None: ...
    async def receive(self) -> Event:
        """The next event of the exchange; raises `ProxyError` (DPE, or DC when the client went away within it)."""
        ...

    async def flush(self) -> None:
        """Send what the codec has queued of the exchange, at the client's pace."""
        ...

    def leave_http(self, received: Count, sent: Count) -> tuple[End, bytes]:
        """The client's end of a tunnel, once it is open, and what has been read of the tunnel's bytes."""
        ...


class H1Downstream:
    """Reads only when asked and holds at most one read's events, so that not reading is the back-pressure."""

    multiplexed = False
    blocked = False
    read_size = 0
    __slots__ = ("_arrived", "_events", "_failure", "_unsent", "codec", "connection")

    def __init__(self, connection: Connection, codec: ServerCodec) -> None:
        self.connection = connection
        self.codec = codec
        self._arrived = b""
        self._events: deque[Event] = deque()
        self._failure: CodecError | None = None
        self._unsent = b""

    @property
    def torn(self) -> bool:
        return self.connection.sending

    def take_over(self, arrived: bytes, unsent: bytes) -> None:
        """Go on where the express lane stopped: `arrived` has been read. If `unsent` is not empty, a part of the answer
        is with the client, and `unsent` is what the next flush has to send instead of all of it."""
        self._arrived = arrived
        self._unsent = unsent

    def begin_next(self) -> bool:
        """Go on to the next exchange; says whether the client has begun it already (pipelining)."""
        try:
            self._events.extend(self.codec.next_exchange())
        except CodecError as error:
            self._failure = error  # `receive` raises it, where an exchange can answer
            return True
        return bool(self._events) or self.codec.begun

    @property
    def received(self) -> int:
        """How many bytes of the connection the exchanges up to here have taken."""
        return self.connection.bytes_received - len(self._arrived) - self.codec.held

    def has_head(self) -> bool:
        """Whether the request's head is here already, or what is wrong with it, so that `receive` will not wait."""
        if self._arrived:
            arrived, self._arrived = self._arrived, b""
            try:
                self._events.extend(self.codec.receive(arrived))
            except CodecError as error:
                self._failure = error
        return bool(self._events) or self._failure is not None

    async def receive(self) -> Event:
        """The next event of the exchange; raises `ProxyError` (DPE, or DC when the client went away within it)."""
        if self._failure is not None:
            raise protocol_error(self._failure)
        while not self._events:
            data = self._arrived or await self.connection.receive()
            self._arrived = b""
            try:
                self._events.extend(self.codec.receive(data))
            except CodecError as error:
                raise (protocol_error(error) if data else disconnected()) from error
        return self._events.popleft()

    def leave_http(self, received: Count, sent: Count) -> tuple[End, bytes]:
        """The client's end of a tunnel, once it is open, and what has been read of the tunnel's bytes."""
        self._events.extend(self.codec.next_exchange())
        data = b"".join(event.data for event in self._events if isinstance(event, DataReceived))
        self._events.clear()
        connection = self.connection

        def count_received(count: int) -> None:
            connection.count_received(count)
            received(count)

        def count_sent(count: int) -> None:
            connection.count_sent(count)
            sent(count)

        connection.leave_watch()
        return SocketEnd(connection.socket, connection.buffer_limit, count_received, count_sent), data

    @property
    def pending(self) -> bool:
        """Whether `receive` has an event at hand and will not wait."""
        return bool(self._events)

    def whole_within(self, size: int) -> bool:
        """Whether the rest of the request is here already and is at most `size` bytes."""
        return any(isinstance(event, StreamEnded) for event in self._events) and (
            sum(len(event.data) for event in self._events if isinstance(event, DataReceived)) <= size
        )

    @property
    def splices(self) -> bool:
        """Whether a pipe may carry bodies from and to this connection."""
        return self.connection.tls is None

    @property
    def body_ahead(self) -> int:
        """How many bytes that come next are of the request's body and may go around the codec."""
        return 0 if self._events or self._arrived or self._failure else self.codec.body_ahead

    def fill(self, carrier: passage.Carrier, limit: int) -> int | None:
        """Take up to `limit` of them, as `passage.fill` does."""
        taken = passage.fill(carrier, self.connection, limit)
        if taken:
            self.codec.received_around(taken)
        return taken

    @property
    def body_room(self) -> int:
        """How many bytes of the response's body may go around at once."""
        return min(self.codec.body_room, self.connection.buffer_limit)

    async def flush(self) -> None:
        """Send what the codec has queued."""
        output = self.codec.take_output()
        if self._unsent:
            output, self._unsent = self._unsent, b""
        if output:
            await self.connection.send(output)
