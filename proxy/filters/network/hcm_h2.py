"""One downstream HTTP/2 connection: a reader, a writer, somebody who minds the time, and a task per stream."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import trio

from proxy.errors import Flag, ProxyError
from proxy.filters.network.hcm_h2_lifetime import Http2Lifetime
from proxy.filters.network.hcm_h2_writer import Http2Writer
from proxy.filters.network.hcm_stream import ActiveStream
from proxy.http.codec_h2_server import TOO_MANY_RESETS, H2ServerCodec
from proxy.http.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from proxy.http.exchange import Exchange
from proxy.http.h2_downstream import H2Downstream
from proxy.http.h2_frames import ErrorCode
from proxy.http.identity import Hop
from proxy.http.stream_info import StreamInfo
from proxy.http.stream_starts import stream_starts
from proxy.limits import LONG_TURN, STREAM_BURST
from proxy.net.connection import Connection
from proxy.net.peer import disconnected

if TYPE_CHECKING:
    from proxy.filters.network.http_connection_manager import HttpConnectionManager

log = logging.getLogger("proxy.http")


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
        self._starts = stream_starts()
        self._begun: deque[tuple[H2Downstream, ActiveStream]] = deque()  # exchanges that have not started yet
        self._queued = False  # they wait for another turn of the loop
        self._reading = trio.CancelScope()
        self._writer = Http2Writer(connection, self.codec, self._wake_drained, self._reading.cancel)
        self._over = disconnected()  # why the streams that are left end with the connection
        self._requests = 0
        self._refusal = False  # the last thing that came was a request that was none
        self._lifetime = Http2Lifetime(self, config, manager.stats)

    async def run(self, arrived: bytes) -> None:
        """Serve the connection, whose first bytes are `arrived`, until it ends. Does not close the socket."""
        self.connection.stateful = True
        try:
            async with trio.open_nursery() as service:
                service.start_soon(self._writer.run)
                service.start_soon(self._lifetime.run)
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    try:
                        with self._reading:
                            await self._read(arrived)
                        if self.codec.failure is not None:
                            self._fail(self.codec.failure.detail)
                        await self._abandon()
                    finally:  # whoever has not started yet has to be charged and logged
                        while self._start_one():
                            pass
                await self._finish()
                service.cancel_scope.cancel()
            if self._writer.stuck:
                self.connection.reset()  # or the kernel would keep for minutes what nobody reads
        finally:
            self._say_goodbye()
            self.codec.end()

    # --- in ---------------------------------------------------------------------------------------------------------

    async def _read(self, arrived: bytes) -> None:
        codec, connection = self.codec, self.connection
        self.wake_writer()
        connection.pace(slower=True)  # who is not costly soon has all that can be had at once
        data = arrived[: connection.read_size]
        arrived = arrived[connection.read_size :]
        while data:
            began = trio.current_time()
            for event in codec.receive(data, began):
                self._dispatch(event)
            self._start()
            self._wake_drained()
            if codec.has_output:
                self.wake_writer()
            self._lifetime.heard(codec.pings_answered)
            if codec.failure is not None:
                return
            costly = trio.current_time() - began > LONG_TURN
            connection.pace(slower=costly)
            if costly:
                await trio.lowlevel.checkpoint()
            if arrived:
                size = connection.read_size
                data, arrived = arrived[:size], arrived[size:]
                continue
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
        downstream = H2Downstream(self, event.stream_id, event, self.codec.meter(event.stream_id))
        self._streams[event.stream_id] = downstream
        exchange = self._exchanges[event.stream_id] = self._active_stream(downstream)
        self._requests += 1
        if self._requests == self._config.max_requests_per_connection:
            self._manager.stats.cx_max_requests_reached.inc()
            self._lifetime.drain()
        if len(self._exchanges) == 1:
            self._manager.activity.streams[self.connection] = exchange.exchange.info
        self.connection.idle = False
        self._begun.append((downstream, exchange))

    def _start(self) -> None:
        """Start what has begun, as far as the loop's turn lets us."""
        begun, starts = self._begun, self._starts
        while begun and not self._queued and starts.take():
            self._start_one()
        if begun and not self._queued:
            self._queued = True
            starts.wait(self._start_one)

    def _start_one(self) -> bool:
        """Start the next exchange; says whether there are more."""
        if self._begun and self._nursery is not None:
            self._nursery.start_soon(self._serve, *self._begun.popleft())
        self._queued = self._queued and bool(self._begun)
        return bool(self._begun)

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

    async def _abandon(self) -> None:
        """All streams are over: of those that have started a few in each turn of the loop, as with their start."""
        for downstream, _ in self._begun:
            self._end(downstream, self._over)
        for number, downstream in enumerate(tuple(self._streams.values())):
            if downstream.stream_id in self._streams and downstream.error is None:
                self._end(downstream, self._over)
                if not number % STREAM_BURST:
                    await trio.lowlevel.checkpoint()
        while self._begun:
            await trio.lowlevel.checkpoint()

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
        self._over = _protocol_error(detail)

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
            self._lifetime.drain()
        self.end_if_done()

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
            self._lifetime.idle()
            self.connection.idle = True

    # --- out --------------------------------------------------------------------------------------------------------

    def wake_writer(self) -> None:
        self._writer.wake()
        if self.codec.failure is not None:
            self._reading.cancel()

    def _wake_drained(self) -> None:
        if self.codec.drained:
            for stream_id in self.codec.drained:
                downstream = self._streams.get(stream_id)
                if downstream is not None:
                    downstream.ring()
            self.codec.drained.clear()

    # --- the end ----------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether there are streams."""
        return bool(self._streams)

    def lose(self) -> None:
        """The client does not answer any more."""
        self.we_close = True
        self.active = self.busy
        self._over = _protocol_error("http2.ping_timeout")
        self._reading.cancel()

    def end_if_done(self) -> None:
        """End the connection if it takes no more streams and has none."""
        if self._lifetime.closing and not self._streams:
            self.we_close = True
            self._reading.cancel()

    async def _finish(self) -> None:
        """Let the client have our last frames (`delayed_close_timeout`)."""
        if self.connection.closed_by_peer:
            return
        if not await self._writer.finish(self._config.delayed_close_timeout):
            self._manager.stats.cx_delayed_close_timeout.inc()

    def _say_goodbye(self) -> None:
        """Where the end is not our own choice, the client still learns what we have looked at, if it can at once."""
        if not (self._writer.ending or self.codec.failure or self.connection.closed_by_peer or self.connection.sending):
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
