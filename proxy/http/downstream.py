"""A downstream connection and its codec as one: events in, bytes out."""

from __future__ import annotations

from collections import deque

from proxy.errors import Flag, ProxyError
from proxy.http.codec import CodecError, ServerCodec
from proxy.http.events import DataReceived, Event, StreamEnded
from proxy.net.connection import Connection, disconnected


def protocol_error(error: CodecError) -> ProxyError:
    """What a broken or oversized message is answered with; the connection ends with it (features §13 rules 14, 15)."""
    return ProxyError(
        error.detail,
        side="downstream",
        status=error.status,
        body=error.body,
        flag=Flag.DOWNSTREAM_PROTOCOL_ERROR,
        close=True,
    )


class Downstream:
    """Reads only when asked and holds at most one read's events, so that not reading is the back-pressure."""

    __slots__ = ("_events", "codec", "connection")

    def __init__(self, connection: Connection, codec: ServerCodec) -> None:
        self.connection = connection
        self.codec = codec
        self._events: deque[Event] = deque()

    def begin_pipelined(self) -> bool:
        """Go on to the next exchange; says whether its first events are here already. Raises `ProxyError`."""
        self._events.clear()
        try:
            self._events.extend(self.codec.next_exchange())
        except CodecError as error:
            raise protocol_error(error) from error
        return bool(self._events)

    async def receive(self) -> Event:
        """The next event of the exchange; raises `ProxyError` (DPE, or DC when the client went away within it)."""
        while not self._events:
            data = await self.connection.receive()
            try:
                self._events.extend(self.codec.receive(data))
            except CodecError as error:
                raise (protocol_error(error) if data else disconnected()) from error
        return self._events.popleft()

    def whole_within(self, size: int) -> bool:
        """Whether the rest of the request is here already and is at most `size` bytes."""
        return any(isinstance(event, StreamEnded) for event in self._events) and (
            sum(len(event.data) for event in self._events if isinstance(event, DataReceived)) <= size
        )

    async def flush(self) -> None:
        """Send what the codec has queued."""
        output = self.codec.take_output()
        if output:
            await self.connection.send(output)
