"""One downstream HTTP connection: idle, read a head, run the exchange in this task, and again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from proxy.errors import Flag
from proxy.filters.network import hcm_protocol
from proxy.filters.network.hcm_h2 import Http2Session
from proxy.filters.network.hcm_lifetime import Lifetime
from proxy.filters.network.hcm_stream import ActiveStream
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.downstream import H1Downstream
from proxy.http.exchange import Exchange
from proxy.http.handover import Handover
from proxy.http.identity import Hop
from proxy.net.connection import Connection

if TYPE_CHECKING:
    from proxy.filters.network.http_connection_manager import HttpConnectionManager

log = logging.getLogger("proxy.http")


class Session:
    """The connection's scope bounds the idle phase, the local reply after a time-out, and the close. Each exchange has
    its own scope, which begins with the first byte of the request.

    `active`: the connection ended within an exchange. `we_close`: we were the first to end it.
    """

    __slots__ = (
        "_client_closes",
        "_config",
        "_connection",
        "_downstream",
        "_hop",
        "_lifetime",
        "_manager",
        "_received",
        "_stats",
        "active",
        "we_close",
    )

    def __init__(self, manager: HttpConnectionManager, connection: Connection, hop: Hop) -> None:
        config = manager.config
        self._manager = manager
        self._config = config
        self._stats = manager.stats
        self._connection = connection
        self._downstream = H1Downstream(connection, H1ServerCodec(**manager.codec_options, scheme=manager.scheme))
        self._hop = hop
        limited = config.max_connection_duration or config.max_requests_per_connection
        self._lifetime = Lifetime(config, manager.stats) if limited else None
        self._received = 0  # what the exchanges up to here have taken
        self.active = False
        self._client_closes = False
        self.we_close = False

    async def run(self) -> None:
        """Serve the connection until it ends. Does not close the socket."""
        try:
            while True:
                handover = await self._idle()
                if not handover.arrived or not await self.serve(handover):
                    return
        finally:
            if self._lifetime is not None:
                self._lifetime.end()

    async def serve(self, handover: Handover) -> bool:
        """The exchange that `handover` begins or goes on with, and those whose requests came with it. Says whether the
        connection may carry more; if not, it has been ended, but for its socket.
        """
        if not self._connection.protocol and await self._is_http2(handover):
            await self._serve_http2(handover.arrived)
            return False
        self._downstream.take_over(handover.arrived, handover.unsent)
        self._received = self._downstream.received
        begun: Handover | None = handover
        while await self._exchange(begun):
            self._received = self._downstream.received
            if not self._downstream.begin_next():
                return True
            begun = None
        await self._close()
        return False

    async def _is_http2(self, handover: Handover) -> bool:
        """Whether the client speaks HTTP/2, as far as `handover` or what comes next says."""
        config, connection = self._config, self._connection
        connection.deadline(config.request_headers_timeout or config.stream_idle_timeout)
        handover.arrived, http2 = await hcm_protocol.detect(connection, handover.arrived, config)
        connection.deadline(0)
        self._manager.begin_protocol(connection, "http2" if http2 else "http1")
        return http2

    async def _serve_http2(self, arrived: bytes) -> None:
        http2 = Http2Session(self._manager, self._connection, self._hop)
        try:
            await http2.run(arrived)
        finally:
            self.active, self.we_close = http2.active, http2.we_close

    async def _idle(self) -> Handover:
        """Wait for a request, or for the client's end. Ends by `idle_timeout` in silence, or by a drain."""
        connection = self._connection
        connection.idle = True
        connection.deadline(self._config.idle_timeout)
        try:
            handover = await (self._arrival() if self._lifetime is None else self._lifetime.wait(self._arrival))
        except trio.Cancelled:
            if connection.expired:
                self._stats.cx_idle_timeout.inc()
            raise
        connection.idle = False
        connection.deadline(0)
        return handover

    async def _arrival(self) -> Handover:
        """The first bytes of a request, or none."""
        await self._connection.wait_readable()
        return Handover(await self._connection.receive(), trio.current_time())

    async def _exchange(self, handover: Handover | None) -> bool:
        """One request and its response, through the redirects that we follow ourselves. Says whether the connection may
        carry another.
        """
        exchange = await self._run(handover)
        while exchange.redirected is not None and not exchange.response_started:
            exchange = await self._run(None, exchange)
        if exchange.close or not exchange.info.response_complete:
            return False
        self._client_closes = not self._downstream.codec.keep_alive
        return not self._client_closes

    async def _run(self, handover: Handover | None, before: Exchange | None = None) -> Exchange:
        """One exchange, from its beginning to its place in the logs. `before` has been redirected to it."""
        manager, connection = self._manager, self._connection
        started = handover.started if handover is not None else trio.current_time()
        stream = ActiveStream(manager, connection, self._hop, self._downstream, started, handover)
        exchange = stream.exchange
        exchange.info.received_before = self._received
        exchange.info.sent_before = connection.bytes_sent - (handover.answered if handover is not None else 0)
        if self._lifetime is not None:
            self._lifetime.begin(exchange)
        self.active = True
        if handover is None or handover.upstream is None:
            manager.begin_exchange()
        manager.disconnects.add(connection.fd, exchange.deadlines)
        manager.activity.streams[connection] = exchange.info
        try:
            await stream.run(before)
        finally:
            del manager.activity.streams[connection]
            manager.disconnects.discard(connection.fd)
            manager.end_exchange()
            stream.end()
        if connection.info is not None and Flag.DOWNSTREAM_PROTOCOL_ERROR in exchange.info.flags:
            connection.info.flags.add(Flag.DOWNSTREAM_PROTOCOL_ERROR)
        self.active = Flag.DOWNSTREAM_CONNECTION_TERMINATION in exchange.info.flags
        connection.closed_by_peer = connection.closed_by_peer or self.active
        return exchange

    async def _close(self) -> None:
        """End the connection so that the client gets our last bytes and no reset (`delayed_close_timeout`). There is
        nothing to wait for if the client itself announced the end.
        """
        connection = self._connection
        timeout = self._config.delayed_close_timeout
        if self._client_closes or connection.closed_by_peer or timeout <= 0:
            return
        self.we_close = True  # whoever closes first then, as in Envoy, which does not look any more
        connection.deadline(timeout)
        try:
            await connection.linger()
        except trio.Cancelled:
            if connection.expired:
                self._stats.cx_delayed_close_timeout.inc()
            raise
