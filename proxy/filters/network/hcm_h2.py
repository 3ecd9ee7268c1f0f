"""One downstream HTTP/2 connection: a reader, a writer, somebody who minds the time, and its streams."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from proxy.errors import Flag, ProxyError
from proxy.filters.network.hcm_h2_lifetime import Http2Lifetime
from proxy.filters.network.hcm_h2_streams import Http2Streams
from proxy.filters.network.hcm_h2_writer import Http2Writer
from proxy.http.codec_h2_server import TOO_MANY_RESETS, H2ServerCodec
from proxy.http.events import DataReceived, Event, HeadReceived, RequestReceived, StreamEnded, StreamReset
from proxy.http.h2_frames import ErrorCode
from proxy.http.identity import Hop
from proxy.limits import LONG_TURN
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
        self._streams = Http2Streams(manager, self, hop, self._on_stream_end)
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
                    self._streams.nursery = nursery
                    try:
                        with self._reading:
                            await self._read(arrived)
                        if self.codec.failure is not None:
                            self._fail(self.codec.failure.detail)
                        await self._streams.abandon(self._over)
                    finally:
                        self._streams.leave()
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
            codec.tells_heads = self._manager.stream_plans is not None
            began = trio.current_time()
            for event in codec.receive(data, began):
                self._dispatch(event, began)
            self._streams.start()
            self._wake_drained()
            if codec.has_output:
                self.wake_writer()
            self._lifetime.heard(codec.pings_answered, codec.unfinished_head)
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

    def _dispatch(self, event: Event, now: float) -> None:
        self._refusal = False
        if isinstance(event, HeadReceived | RequestReceived):
            self._streams.begin(event, now)
            self._requests += 1
            if self._requests == self._config.max_requests_per_connection:
                self._manager.stats.cx_max_requests_reached.inc()
                self._lifetime.drain()
        elif isinstance(event, DataReceived | StreamEnded):
            self._streams.put(event)
        elif isinstance(event, StreamReset) and not self._streams.reset(event.stream_id, _reset(event)) and event.local:
            self._refusal = True
            self._streams.refuse(event.stream_id, _reset(event))

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

    # --- out --------------------------------------------------------------------------------------------------------

    def wake_writer(self) -> None:
        self._writer.wake()
        if self.codec.failure is not None:
            self._reading.cancel()

    def _wake_drained(self) -> None:
        if self.codec.drained:
            for stream_id in self.codec.drained:
                self._streams.drained(stream_id)
            self.codec.drained.clear()

    def _on_stream_end(self, drains: bool) -> None:
        if not self._streams:
            self._lifetime.idle()
        if drains:
            self._lifetime.drain()
        self.end_if_done()

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
