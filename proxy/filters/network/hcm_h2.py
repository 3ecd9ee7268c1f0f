"""One downstream HTTP/2 connection: a reader, a writer, somebody who minds the time, and a task per stream."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import trio

from proxy.errors import Flag, ProxyError
from proxy.filters.network.hcm_stream import ActiveStream
from proxy.http.codec_h2_server import TOO_MANY_RESETS, H2ServerCodec
from proxy.http.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from proxy.http.exchange import Exchange
from proxy.http.h2_downstream import H2Downstream
from proxy.http.h2_frames import ErrorCode
from proxy.http.h2_keepalive import Keepalive
from proxy.http.identity import Hop
from proxy.http.stream_info import StreamInfo
from proxy.limits import STREAM_BURST
from proxy.net.bell import Bell
from proxy.net.connection import Connection
from proxy.net.peer import disconnected

if TYPE_CHECKING:
    from proxy.filters.network.http_connection_manager import HttpConnectionManager

log = logging.getLogger("proxy.http")

NEVER = float("inf")


class Http2Session:
    """`run` once. Streams, the writer and the clock end with it.

    `active`: the connection ended within an exchange. `we_close`: we were the first to end it.
    """

    def __init__(self, manager: HttpConnectionManager, connection: Connection, hop: Hop) -> None:
        config = manager.config
        self.connection = connection
        self.codec = H2ServerCodec(
            config.http2,
            manager.http2_stats,
            max_headers_bytes=config.max_request_headers_kb * 1024,
            max_headers_count=config.max_headers_count,
        )
        self.active = False
        self.we_close = False
        self._manager = manager
        self._config = config
        self._hop = hop
        self._streams: dict[int, H2Downstream] = {}
        self._exchanges: dict[int, ActiveStream] = {}
        self._nursery: trio.Nursery | None = None
        self._may_start = STREAM_BURST  # streams, at once; the others of what was read wait for their turn
        self._waiting: deque[tuple[H2Downstream, ActiveStream]] = deque()
        self._reading = trio.CancelScope()
        self._ending = False  # nothing more will be said
        self._written = trio.Event()  # and all of it has been sent
        self._writer = Bell()
        self._clock = Bell()
        self._requests = 0
        self._refusal = False  # the last thing that came was a request that was none
        self._idle_since = trio.current_time()
        duration = config.max_connection_duration
        self._expires = self._idle_since + duration if duration else NEVER
        self._goaway_due = NEVER  # the second one of a drain
        self._keepalive = Keepalive(config.http2.keepalive, self._idle_since)
        self._draining = False
        self._closing = False  # no stream is taken any more

    async def run(self, arrived: bytes) -> None:
        """Serve the connection, whose first bytes are `arrived`, until it ends. Does not close the socket."""
        self.connection.stateful = True
        try:
            async with trio.open_nursery() as service:
                service.start_soon(self._write)
                service.start_soon(self._mind_the_time)
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    with self._reading:
                        await self._read(arrived)
                    self._abandon(disconnected())
                await self._finish()
                service.cancel_scope.cancel()
        finally:
            self._say_goodbye()
            self.codec.end()

    # --- in ---------------------------------------------------------------------------------------------------------

    async def _read(self, data: bytes) -> None:
        codec, connection = self.codec, self.connection
        self.wake_writer()
        while data:
            if not self._waiting:
                self._may_start = STREAM_BURST
            for event in codec.receive(data, trio.current_time()):
                self._dispatch(event)
            self._wake_drained()
            if codec.has_output:
                self.wake_writer()
            self._keepalive.heard(codec.pings_answered)
            if codec.failure is not None:
                self._fail(codec.failure.detail)
                return
            try:
                data = await connection.receive()
            except ProxyError:  # a reset is an end like any other
                break
        self.active = bool(self._streams)

    def _dispatch(self, event: Event) -> None:
        self._refusal = False
        if isinstance(event, RequestReceived):
            self._begin(event)
            return
        downstream = self._streams.get(event.stream_id)
        if downstream is None:
            if isinstance(event, StreamReset) and event.local:
                self._refused(event)
        elif isinstance(event, DataReceived | StreamEnded):
            downstream.put(event)
        elif isinstance(event, StreamReset):
            self._end(downstream, _reset(event))

    def _begin(self, event: RequestReceived) -> None:
        assert self._nursery is not None
        downstream = H2Downstream(self, event.stream_id, event, self.codec.meter(event.stream_id))
        self._streams[event.stream_id] = downstream
        exchange = self._exchanges[event.stream_id] = self._active_stream(downstream)
        self._requests += 1
        if self._requests == self._config.max_requests_per_connection:
            self._manager.stats.cx_max_requests_reached.inc()
            self.drain()
        if len(self._exchanges) == 1:
            self._manager.activity.streams[self.connection] = exchange.exchange.info
        self.connection.idle = False
        if self._may_start:
            self._may_start -= 1
            self._nursery.start_soon(self._serve, downstream, exchange)
            return
        self._waiting.append((downstream, exchange))
        if len(self._waiting) == 1:
            self._nursery.start_soon(self._start_waiting, self._nursery)

    async def _start_waiting(self, nursery: trio.Nursery) -> None:
        """One packet may begin a thousand streams, which would be one turn of the loop: other connections wait that
        long. So a few of them start in each turn.
        """
        try:
            while True:
                await trio.lowlevel.checkpoint()
                for _ in range(min(STREAM_BURST, len(self._waiting) - 1)):
                    nursery.start_soon(self._serve, *self._waiting.popleft())
                if len(self._waiting) == 1:
                    return
        finally:  # when it is cancelled, so is each of them, which has to be charged and logged
            while self._waiting:
                nursery.start_soon(self._serve, *self._waiting.popleft())

    def _refused(self, event: StreamReset) -> None:
        """A request whose head could not be taken: counted, logged, and over."""
        self._refusal = True
        stream = self._active_stream(H2Downstream(self, event.stream_id))
        self._manager.end_exchange()
        stream.refuse(_reset(event))

    def _end(self, downstream: H2Downstream, error: ProxyError) -> None:
        """The stream is over, whatever its exchange is doing."""
        downstream.fail(error)
        self._exchanges[downstream.stream_id].exchange.deadlines.client_gone(error)

    def _abandon(self, error: ProxyError) -> None:
        """All streams are over."""
        for downstream in self._streams.values():
            if downstream.error is None:
                self._end(downstream, error)

    def _fail(self, detail: str) -> None:
        """The client has broken the protocol, or a limit: everything of its connection ends."""
        if detail == TOO_MANY_RESETS:
            self._manager.stats.rq_too_many_premature_resets.inc()
        else:
            self._manager.stats.cx_protocol_error.inc()
        self.active = bool(self._streams) or self._refusal
        self.we_close = True
        if self.connection.info is not None:
            self.connection.info.flags.add(Flag.DOWNSTREAM_PROTOCOL_ERROR)
        self._abandon(_protocol_error(detail))

    # --- a stream ---------------------------------------------------------------------------------------------------

    async def _serve(self, downstream: H2Downstream, stream: ActiveStream) -> None:
        stream_id = downstream.stream_id
        exchange = stream.exchange
        try:
            await self._run(stream)
            while exchange.redirected is not None and not exchange.response_started and downstream.error is None:
                stream = self._exchanges[stream_id] = self._active_stream(downstream)
                await self._run(stream, exchange)
                exchange = stream.exchange
        finally:
            self._ended(stream_id, exchange.info)
            downstream.close()
            if downstream.error is None:
                self.codec.reset(stream_id, _last_word(exchange.info))
            self.wake_writer()
        if exchange.drains:
            self.drain()
        self._check_done()

    def _active_stream(self, downstream: H2Downstream) -> ActiveStream:
        self._manager.begin_exchange(http2=True)
        stream = ActiveStream(self._manager, self.connection, self._hop, downstream, trio.current_time())
        stream.exchange.info.meter = downstream.meter
        return stream

    async def _run(self, stream: ActiveStream, before: Exchange | None = None) -> None:
        """One exchange; `before` has been redirected to it."""
        try:
            await stream.run(before)
        finally:
            self._manager.end_exchange()
            stream.end()

    def _ended(self, stream_id: int, info: StreamInfo) -> None:
        """Take the stream off the books; an operator sees the oldest one of those that are left."""
        del self._streams[stream_id], self._exchanges[stream_id]
        shown = self._manager.activity.streams
        if shown.get(self.connection) is info:
            del shown[self.connection]
            for other in self._exchanges.values():
                shown[self.connection] = other.exchange.info
                break
        if not self._exchanges:
            self._idle_since = trio.current_time()
            self.connection.idle = True

    # --- out --------------------------------------------------------------------------------------------------------

    def wake_writer(self) -> None:
        self._writer.ring()

    async def _write(self) -> None:
        """Send whatever the codec has. One task, so that frames stay whole; it runs once all others had their turn, so
        that one packet carries what they all had to say.
        """
        codec, connection = self.codec, self.connection
        try:
            while True:
                while not codec.has_output:
                    if self._ending:
                        self._written.set()
                        return
                    await self._writer.wait()
                data = codec.take_output()
                self._wake_drained()
                await connection.send(data)
        except ProxyError:
            self.connection.closed_by_peer = True
            self._reading.cancel()
            await trio.sleep_forever()

    def _wake_drained(self) -> None:
        if self.codec.drained:
            for stream_id in self.codec.drained:
                downstream = self._streams.get(stream_id)
                if downstream is not None:
                    downstream.ring()
            self.codec.drained.clear()

    # --- the end ----------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """End the connection so that no request is lost: RFC 9113 6.8 in two steps, `drain_timeout` apart."""
        if not self._draining:
            self._draining = True
            self.codec.send_goaway(notice=True)
            self.wake_writer()
            self._goaway_due = trio.current_time() + self._config.drain_timeout
            self._clock.ring()

    def _check_done(self) -> None:
        if self._closing and not self._streams:
            self.we_close = True
            self._reading.cancel()

    async def _mind_the_time(self) -> None:
        """What happens at its time: idle and duration timeouts, and the second half of a drain."""
        while True:
            with trio.move_on_at(self._next_due()):
                await self._clock.wait()
            now = trio.current_time()
            if now >= self._goaway_due:
                self._goaway_due = NEVER
                self._closing = True
                self.codec.send_goaway()
                self.wake_writer()
                self._check_done()
            if self._keepalive.is_due(now):
                self._keep_alive(now)
            if now >= self._idle_due:
                self._manager.stats.cx_idle_timeout.inc()
                self._idle_since = NEVER
                self.drain()
            if now >= self._expires:
                self._expires = NEVER
                self._manager.stats.cx_max_duration_reached.inc()
                self.drain()

    @property
    def _idle_due(self) -> float:
        timeout = self._config.idle_timeout
        return self._idle_since + timeout if timeout and not self._streams and not self._draining else NEVER

    def _next_due(self) -> float:
        # With streams nobody is idle; the last one's end may be as soon as now.
        idle = self._idle_due
        if idle == NEVER and self._streams and self._config.idle_timeout:
            idle = trio.current_time() + self._config.idle_timeout
        return min(self._goaway_due, idle, self._expires, self._keepalive.due)

    def _keep_alive(self, now: float) -> None:
        """Ask whether the client is there, or take it that it is not."""
        if self._keepalive.lost:
            self.codec.stats.keepalive_timeout.inc()
            self._keepalive.stop()
            self.we_close = True
            self.active = bool(self._streams)
            self._abandon(_protocol_error("http2.ping_timeout"))
            self._reading.cancel()
        else:
            self.codec.send_ping(self._keepalive.ask(now))
            self.wake_writer()

    async def _finish(self) -> None:
        """Let the client have our last frames (`delayed_close_timeout`)."""
        if self.connection.closed_by_peer:
            return
        with trio.move_on_after(self._config.delayed_close_timeout) as scope:
            self._ending = True
            self.wake_writer()
            await self._written.wait()
            await self.connection.linger()
        if scope.cancelled_caught:
            self._manager.stats.cx_delayed_close_timeout.inc()

    def _say_goodbye(self) -> None:
        """Where the end is not our own choice, the client still learns what we have looked at, if it can at once."""
        if not (self._ending or self.codec.failure or self.connection.closed_by_peer or self.connection.sending):
            self.codec.send_goaway()
            self.connection.send_now(self.codec.take_output(), memoryview(b""))


_TUNNEL_LOST = frozenset({Flag.UPSTREAM_CONNECTION_FAILURE, Flag.UPSTREAM_CONNECTION_TERMINATION})


def _last_word(info: StreamInfo) -> ErrorCode:
    """Why a stream is reset that its exchange has left open (RFC 9113 sections 8.1 and 8.5)."""
    if info.upgrade and not _TUNNEL_LOST.isdisjoint(info.flags):
        return ErrorCode.CONNECT_ERROR
    return ErrorCode.NO_ERROR if info.response_complete else ErrorCode.INTERNAL_ERROR


def _reset(event: StreamReset) -> ProxyError:
    """What has ended a stream: our codec, or the client (Envoy's details)."""
    if event.local and event.error_code == ErrorCode.PROTOCOL_ERROR:
        return _protocol_error(event.detail)
    detail = event.detail
    if not event.local:
        detail = "http2.remote_refuse" if event.error_code == ErrorCode.REFUSED_STREAM else "http2.remote_reset"
    return ProxyError(detail, side="downstream", status=0, flag=Flag.DOWNSTREAM_REMOTE_RESET)


def _protocol_error(detail: str) -> ProxyError:
    return ProxyError(detail, side="downstream", status=0, flag=Flag.DOWNSTREAM_PROTOCOL_ERROR)
