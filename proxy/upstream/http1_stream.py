"""One request on one HTTP/1 connection, and its response."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from proxy.config.common import Address
from proxy.errors import ProxyError
from proxy.http.codec import CodecError
from proxy.http.events import ConnectionEnded, DataReceived, Event, InformationalReceived, ResponseReceived, StreamEnded
from proxy.http.h1_body_end import BodyEnd
from proxy.http.h1_connection import closes
from proxy.http.headers import Headers
from proxy.http.stream_info import UpstreamConnection
from proxy.limits import READ_SIZE
from proxy.net import passage
from proxy.net.pipe import splices
from proxy.net.relay_end import End, SocketEnd
from proxy.upstream.connection import ConnectionLost
from proxy.upstream.http1_connection import Http1Connection
from proxy.upstream.judge import Judge
from proxy.upstream.stats import Outcomes
from proxy.upstream.stream import UpstreamStream, unwritable

if TYPE_CHECKING:
    from proxy.upstream.http1_pool import Http1Pool


class Http1Stream(UpstreamStream):
    """As `UpstreamStream`. `peer_gone`: the upstream takes, or gives, nothing any more."""

    __slots__ = (
        "_connection",
        "_events",
        "_heads",
        "_limited",
        "_peer_closes",
        "_stream_id",
        "bytes_received",
        "bytes_sent",
        "header_bytes_sent",
        "peer_gone",
    )

    tells_scheme = False
    has_websocket_keys = True
    _pool: Http1Pool
    bytes_received: int
    bytes_sent: int
    header_bytes_sent: int

    def __init__(
        self, pool: Http1Pool, connection: Http1Connection, outcomes: Outcomes, judge: Judge | None = None
    ) -> None:
        super().__init__(pool, outcomes, judge, reused=connection.requests > 1)
        self._connection = connection
        self._events: deque[Event] = deque()
        self._limited = False
        self._stream_id = 0
        self._peer_closes = False
        self._heads: tuple[bytes, ...] = ()
        self.peer_gone = False
        self.bytes_sent = 0
        self.bytes_received = 0
        self.header_bytes_sent = 0

    @classmethod
    def going_on(
        cls,
        pool: Http1Pool,
        connection: Http1Connection,
        outcomes: Outcomes,
        *,
        sent_at: float,
        judge: Judge | None = None,
    ) -> Http1Stream:
        """A stream whose whole request went out at `sent_at`. It still has to be told the request, which `send_*` do
        without sending anything."""
        stream = cls(pool, connection, outcomes, judge)
        stream.gone_out_at = sent_at
        return stream

    @property
    def local(self) -> Address:
        return self._connection.local

    @property
    def identity(self) -> UpstreamConnection:
        return self._connection.identity

    @property
    def heads(self) -> tuple[bytes, ...]:
        return self._heads

    @property
    def header_bytes_received(self) -> int:
        """`heads` tell."""
        return 0

    @property
    def splices(self) -> bool:
        return splices(self._connection.socket)

    @property
    def pending(self) -> bool:
        return bool(self._events)

    @property
    def ending(self) -> bool:
        return bool(self._events) and isinstance(self._events[0], StreamEnded)

    async def send_request(
        self,
        method: bytes,
        path: bytes,
        authority: bytes,
        headers: Headers,
        *,
        end_stream: bool,
        flush: bool = True,
        scheme: bytes = b"http",
    ) -> None:
        self._note_request(headers)
        codec = self._connection.codec
        try:
            self._stream_id = codec.send_request(method, path, authority, headers, end_stream=end_stream)
        except CodecError as error:
            raise unwritable(error) from error
        self.header_bytes_sent = codec.header_bytes_sent(self._stream_id)
        if flush:
            await self._flush()
        if end_stream:
            self._end_request()

    async def send_data(self, data: bytes, *, flush: bool = True) -> None:
        if not self.peer_gone:
            try:
                self._connection.codec.send_data(self._stream_id, data)
            except CodecError as error:
                raise unwritable(error) from error
            if flush:
                await self._flush()

    async def send_end(self, trailers: Headers | None = None) -> None:
        if not self.peer_gone:
            try:
                self._connection.codec.send_end(self._stream_id, trailers)
            except CodecError as error:
                raise unwritable(error) from error
            await self._flush()
            self._end_request()

    async def _next(self) -> Event:
        """UC if the connection ended before a response, UPE if the response is broken or cut short."""
        while not self._events:
            await self._read()
        return self._events.popleft()

    def _note_head(self, head: ResponseReceived | InformationalReceived) -> None:
        self._heads += (head.head,)
        if isinstance(head, ResponseReceived):
            self._peer_closes = closes(head.headers, head.protocol[-3:].encode())

    @property
    def body_ahead(self) -> int:
        return 0 if self._events else self._connection.codec.body_ahead

    def fill(self, carrier: passage.Carrier, limit: int) -> int | None:
        try:
            taken = passage.fill(carrier, self._connection, limit)
        except ConnectionLost as lost:
            self.peer_gone = True
            raise self._cut_short() from lost
        if taken:
            self.bytes_received += taken
            self._connection.codec.received_around(taken)
        return taken

    async def wait_readable(self) -> None:
        await self._connection.wait_readable()

    @property
    def body_room(self) -> int:
        return 0 if self.peer_gone else min(self._connection.codec.body_room, self._connection.buffer_limit)

    async def send_around(self, carrier: passage.Carrier, moved: Callable[[], None]) -> None:
        size = carrier.held
        self._connection.codec.send_around(self._stream_id, size)
        await self._flush()
        if self.peer_gone:
            return
        try:
            await passage.empty(carrier, self._connection, moved)
        except ConnectionLost:
            self.peer_gone = True
        else:
            self.bytes_sent += size

    def leave_http(self) -> tuple[End, bytes]:
        data = b"".join(event.data for event in self._events if isinstance(event, DataReceived))
        self._events.clear()
        connection = self._connection
        connection.leave_watch()
        return SocketEnd(connection.socket, connection.buffer_limit, self._received, self._sent), data

    def leave_to_bodies(self) -> tuple[End, bytes]:
        connection = self._connection
        connection.leave_watch()
        events = [*self._events, StreamEnded(self._stream_id)] if self._response_ended else list(self._events)
        self._events.clear()
        end = BodyEnd(
            connection.socket,
            connection.codec,
            self._stream_id,
            events,
            connection.buffer_limit,
            self._received,
            self._sent,
        )
        return end, b""

    def _received(self, count: int) -> None:
        self._connection.count_received(count)
        self.bytes_received += count

    def _sent(self, count: int) -> None:
        self._connection.count_sent(count)
        self.bytes_sent += count

    def end_tunnel(self, *, by_upstream: bool) -> ProxyError | None:
        """To HTTP/1 the upstream's end is none of a response, though its bytes have gone on."""
        self.peer_gone = by_upstream
        return self._failed("connection termination") if by_upstream else None

    def broken(self) -> ProxyError:
        return self._broken()

    def read_at_most(self, size: int) -> None:
        self._limited = True
        self._connection.read_at_most(size)

    def close(self) -> None:
        if self._limited:
            self._connection.read_at_most(READ_SIZE)
        complete = self._complete
        if complete and not self.peer_gone:
            if self._connection.codec.reusable:
                self._pool.release(self._connection)
                return
            # Either the upstream said that it closes, or there are bytes behind the response that belong to none.
            stats = self._pool.stats
            (stats.cx_close_notify if self._peer_closes else stats.cx_protocol_error).inc()
        self._pool.discard(self._connection, remote=self.peer_gone, with_active_rq=not complete)

    async def _flush(self) -> None:
        data = self._connection.codec.take_output()
        if not data:
            return
        if self.gone_out_at is not None:
            self.bytes_sent += len(data)
            return
        try:
            await self._connection.send(data)
        except ConnectionLost:
            self.peer_gone = True
        else:
            self.bytes_sent += len(data)

    async def _read(self) -> None:
        try:
            data = await self._connection.receive()
        except ConnectionLost as lost:
            self.peer_gone = True
            raise self._cut_short() from lost
        self.peer_gone = not data or self.peer_gone
        self.feed(data)

    def feed(self, data: bytes) -> None:
        """Take in bytes of the response; empty at its connection's end."""
        self.bytes_received += len(data)
        try:
            events = self._connection.codec.receive(data)
        except CodecError as error:
            raise (self._broken() if data else self._cut_short()) from error
        self._events.extend(event for event in events if not isinstance(event, ConnectionEnded))
        if not data and not self._events:
            raise self._cut_short()

    def _cut_short(self) -> ProxyError:
        """The connection ended: without a single byte it is a lost connection, within a response a broken one."""
        return self._broken() if self.bytes_received else self._failed("connection termination")

    def _broken(self) -> ProxyError:
        self._pool.stats.cx_protocol_error.inc()
        return self._failed("protocol error")

    def _end_request(self) -> None:
        if not self.peer_gone:
            self._request_ended_at = self.gone_out_at or trio.current_time()
            self.gone_out_at = None
