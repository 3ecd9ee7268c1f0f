"""One request on one upstream connection, and its response."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from proxy.config.cluster import Host
from proxy.config.common import Address
from proxy.errors import ProxyError
from proxy.http.codec import CodecError
from proxy.http.events import ConnectionEnded, DataReceived, Event, InformationalReceived, ResponseReceived, StreamEnded
from proxy.http.h1_connection import closes
from proxy.http.headers import Headers
from proxy.limits import READ_SIZE
from proxy.net import passage
from proxy.net.pipe import splices
from proxy.net.relay_end import End, SocketEnd
from proxy.upstream import failures
from proxy.upstream.connection import Connection, ConnectionLost
from proxy.upstream.judge import Followed, Judge, Retried, Verdict
from proxy.upstream.pool import Pool
from proxy.upstream.stats import Outcomes
from proxy.upstream.tables import HostColumn

CANARY = (b"x-envoy-upstream-canary", b"true")


class UpstreamStream:
    """Sending and receiving may run in two tasks. `bytes_*` count what went over the wire for this request,
    `header_bytes_sent` its fields; `heads` are those of its responses as they came.

    `judge`, if there is one, decides which responses and failures are for the client; the others raise and are counted
    as retried. `follow`, if there is one, says of each that is for the client whether it is a redirect that we follow
    ourselves: that raises too, and counts nowhere. `gone_out_at` is set while the stream is told a request that was
    sent before (`going_on`).

    An upstream may answer and stop reading before it has the whole request. So a `send_*` that finds the peer gone
    does not raise: it sets `peer_gone`, later sends do nothing, and `receive` tells what became of the response.
    """

    __slots__ = (
        "_canary",
        "_connection",
        "_events",
        "_limited",
        "_outcomes",
        "_peer_closes",
        "_pool",
        "_request_ended_at",
        "_response_ended",
        "_response_started",
        "_stream_id",
        "bytes_received",
        "bytes_sent",
        "follow",
        "gone_out_at",
        "header_bytes_sent",
        "heads",
        "host",
        "judge",
        "peer_gone",
        "reused",
    )

    def __init__(self, pool: Pool, connection: Connection, outcomes: Outcomes, judge: Judge | None = None) -> None:
        self._pool = pool
        self.judge = judge
        self.follow: Callable[[int, Headers], bool] | None = None
        self._outcomes = outcomes
        self._canary: Outcomes | None = None
        self._connection = connection
        self._events: deque[Event] = deque()
        self._limited = False
        self._stream_id = 0
        self.gone_out_at: float | None = None
        self._request_ended_at: float | None = None
        self._peer_closes = False
        self._response_started = False
        self._response_ended = False
        self.host: Host = pool.host
        self.reused = connection.requests > 1
        self.peer_gone = False
        self.bytes_sent = 0
        self.bytes_received = 0
        self.header_bytes_sent = 0
        self.heads: tuple[bytes, ...] = ()

    @classmethod
    def going_on(
        cls, pool: Pool, connection: Connection, outcomes: Outcomes, *, sent_at: float, judge: Judge | None = None
    ) -> UpstreamStream:
        """A stream whose whole request went out at `sent_at`. It still has to be told the request, which `send_*` do
        without sending anything."""
        stream = cls(pool, connection, outcomes, judge)
        stream.gone_out_at = sent_at
        return stream

    @property
    def request_ended_at(self) -> float:
        """When the end of the request went out; now if it has not."""
        return trio.current_time() if self._request_ended_at is None else self._request_ended_at

    @property
    def local(self) -> Address:
        """Our end of the connection."""
        return self._connection.local

    @property
    def splices(self) -> bool:
        """Whether a pipe may carry bodies from and to this connection."""
        return splices(self._connection.socket)

    @property
    def pending(self) -> bool:
        """Whether `receive` has an event at hand and will not wait."""
        return bool(self._events)

    async def send_request(
        self,
        method: bytes,
        path: bytes,
        authority: bytes,
        headers: Headers,
        *,
        end_stream: bool,
        flush: bool = True,
    ) -> None:
        """Send the request head; `end_stream`: there is no body. `flush=False` keeps it back for one packet with the
        first body bytes: the caller must then send more without waiting for anything else.

        Here and below, a request that cannot be written (or a body of another length than the head promised) raises
        `ProxyError` with the codec's status and detail.
        """
        codec = self._connection.codec
        try:
            self._stream_id = codec.send_request(method, path, authority, headers, end_stream=end_stream)
        except CodecError as error:
            raise _unwritable(error) from error
        self.header_bytes_sent = codec.header_bytes_sent(self._stream_id)
        if flush:
            await self._flush()
        if end_stream:
            self._end_request()

    async def send_data(self, data: bytes, *, flush: bool = True) -> None:
        """Send body bytes; waits while the upstream does not read. `flush` as in `send_request`."""
        if not self.peer_gone:
            try:
                self._connection.codec.send_data(self._stream_id, data)
            except CodecError as error:
                raise _unwritable(error) from error
            if flush:
                await self._flush()

    async def send_end(self, trailers: Headers | None = None) -> None:
        """The request is complete."""
        if not self.peer_gone:
            try:
                self._connection.codec.send_end(self._stream_id, trailers)
            except CodecError as error:
                raise _unwritable(error) from error
            await self._flush()
            self._end_request()

    async def receive(self) -> Event:
        """The next event of the response; the last one is `StreamEnded` or says `end_stream`.

        Raises `ProxyError`: UC if the connection ended before a response, UPE if the response is broken or cut short,
        `Retried` for a response that is not for the client.
        """
        while not self._events:
            await self._read()
        event = self._events.popleft()
        if isinstance(event, ResponseReceived):
            self.heads += (event.head,)
            if self.judge is not None:
                verdict = self.judge.response(event.status, event.headers)
                if verdict is not Verdict.DELIVER:
                    raise self._unseen(event, verdict)
            if self.follow is not None and self.follow(event.status, event.headers):
                self._take_end_of(event)
                raise Followed(event.status)
            self._charge_response(event)
            self._peer_closes = closes(event.headers, event.protocol[-3:].encode())
            if event.end_stream:
                self._end_response()
        elif isinstance(event, StreamEnded):
            self._end_response()
        elif isinstance(event, InformationalReceived):
            self.heads += (event.head,)
            self._outcomes.charge(event.status)
            if self.judge is not None:
                self.judge.informational()
        return event

    @property
    def response_started(self) -> bool:
        """Whether the head of a response for the client has come."""
        return self._response_started

    @property
    def body_ahead(self) -> int:
        """How many bytes that come next are of the response's body and may go around; `proxy/http/body_relay.py`."""
        return 0 if self._events else self._connection.codec.body_ahead

    def fill(self, carrier: passage.Carrier, limit: int) -> int | None:
        """Take up to `limit` of them; None if none is here. Raises as `receive` does."""
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
        """Until `fill` may find something."""
        await self._connection.wait_readable()

    @property
    def body_room(self) -> int:
        """How many bytes of the request's body may go around at once."""
        return 0 if self.peer_gone else min(self._connection.codec.body_room, self._connection.buffer_limit)

    async def send_around(self, carrier: passage.Carrier, moved: Callable[[], None]) -> None:
        """Send what `carrier` holds as body bytes, which is no more than `body_room`."""
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
        """The upstream's end of a tunnel, once it is open, and what has come of the tunnel's bytes already."""
        data = b"".join(event.data for event in self._events if isinstance(event, DataReceived))
        self._events.clear()
        connection = self._connection

        def received(count: int) -> None:
            connection.count_received(count)
            self.bytes_received += count

        def sent(count: int) -> None:
            connection.count_sent(count)
            self.bytes_sent += count

        connection.leave_watch()
        return SocketEnd(connection.socket, connection.buffer_limit, received, sent), data

    def forgo_reuse(self) -> None:
        """Close the connection after this exchange, as one whose request has never ended."""
        self._request_ended_at = None

    def broken(self) -> ProxyError:
        """The error for an upstream that does not keep to the protocol, counted."""
        return self._broken()

    def charge_timeout(self, status: int) -> None:
        """A timeout is about to end this stream; the `status` in place of a response counts only if none has started.
        0: another attempt follows.
        """
        self._pool.count(HostColumn.RQ_TIMEOUT)
        if not self._response_started:
            self._charge_failure(status)

    def charge_retried(self) -> None:
        """This stream was ended by us, and another attempt follows."""
        self._pool.count(HostColumn.RQ_ERROR)

    def read_at_most(self, size: int) -> None:
        """Hold no more than `size` bytes of the response at once."""
        self._limited = True
        self._connection.read_at_most(size)

    def close(self) -> None:
        """Exactly once, in `finally`: the connection is pooled if both sides ended cleanly, else closed."""
        if self._limited:
            self._connection.read_at_most(READ_SIZE)
        complete = self._response_ended and self._request_ended_at is not None
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

    def _failed(self, reason: failures.Reason) -> ProxyError:
        error = failures.reset(reason, response_started=self._response_started)
        if not self._response_started:
            retried = self.judge is not None and self.judge.reset(error, request_started=True)
            self._charge_failure(0 if retried else error.status)
        return error

    def _unseen(self, response: ResponseReceived, verdict: Verdict) -> Retried:
        if verdict is Verdict.RETRY and not self._outcomes.hides_codes:
            self._pool.stats.retried().charge(response.status)
        self._pool.count(HostColumn.RQ_ERROR)
        self._take_end_of(response)
        return Retried(response)

    def _take_end_of(self, response: ResponseReceived) -> None:
        """Nobody wants to see more of `response` than its head."""
        self._peer_closes = closes(response.headers, response.protocol[-3:].encode())
        self._response_ended = response.end_stream

    def _charge_response(self, response: ResponseReceived) -> None:
        self._response_started = True
        self._outcomes.charge(response.status)
        if self._pool.canary or CANARY in response.headers.items:
            self._canary = self._pool.stats.canary()
            self._canary.charge(response.status)
        self._pool.charge_response(response.status)

    def _charge_failure(self, status: int) -> None:
        if status:
            self._outcomes.charge(status)
        self._pool.count(HostColumn.RQ_ERROR)

    def _end_request(self) -> None:
        if not self.peer_gone:
            self._request_ended_at = self.gone_out_at or trio.current_time()
            self.gone_out_at = None

    def _end_response(self) -> None:
        self._response_ended = True
        if self._request_ended_at is not None:
            elapsed = round((trio.current_time() - self._request_ended_at) * 1000)
            self._outcomes.time.record(elapsed)
            if self._canary is not None:
                self._canary.time.record(elapsed)


def _unwritable(error: CodecError) -> ProxyError:
    return ProxyError(error.detail, side="internal", status=error.status, body=error.body)
