"""One downstream HTTP connection: idle, read a head, run the exchange in this task, and again."""

from __future__ import annotations

import functools
import logging
import traceback
from typing import TYPE_CHECKING

import trio

from proxy.access_log.log import log_meanwhile
from proxy.access_log.periodic import Ticking
from proxy.config.route import ClusterAction
from proxy.errors import Flag, ProxyError
from proxy.filters.network import hcm_record, hcm_route_timeouts
from proxy.filters.network.hcm_lifetime import Lifetime
from proxy.flight_recorder import FAILED_STATUS, own_failure
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.deadlines import Deadlines, Phase
from proxy.http.downstream import Downstream
from proxy.http.events import ConnectionEnded, RequestReceived
from proxy.http.exchange import Exchange
from proxy.http.handover import Handover
from proxy.http.identity import REQUEST_ID, Hop
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo
from proxy.http.target import REDIRECT_STATUS
from proxy.http.underscores import drop_underscores, refuse_underscores
from proxy.net.connection import Connection
from proxy.net.peer import cut_off, disconnected
from proxy.route.entry import RouteEntry

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
        self._downstream = Downstream(connection, H1ServerCodec(**manager.codec_options, scheme=manager.scheme))
        self._hop = hop
        limited = config.max_connection_duration or config.max_requests_per_connection
        self._lifetime = Lifetime(config, manager.stats) if limited else None
        self._received = 0  # what the exchanges up to here have taken
        self.active = False
        self._client_closes = False
        self.we_close = False

    async def run(self) -> None:
        """Serve the connection until it ends. Does not close the socket."""
        while True:
            handover = await self._idle()
            if not handover.arrived or not await self.serve(handover):
                return

    async def serve(self, handover: Handover) -> bool:
        """The exchange that `handover` begins or goes on with, and those whose requests came with it. Says whether the
        connection may carry more; if not, it has been ended, but for its socket.
        """
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
        deadlines = Deadlines(self._config.stream_idle_timeout, started)
        exchange = Exchange(self._downstream, deadlines, StreamInfo(started, connection), manager.policy)
        exchange.handover = handover
        exchange.info.received_before = self._received
        exchange.info.sent_before = connection.bytes_sent - (handover.answered if handover is not None else 0)
        deadlines.arm_from(Phase.STREAM_DURATION, started, self._config.max_stream_duration)
        if self._lifetime is not None:
            self._lifetime.begin(exchange)
        self.active = True
        if handover is None or handover.upstream is None:
            manager.begin_exchange()
        manager.disconnects.add(connection.fd, deadlines)
        manager.activity.streams[connection] = exchange.info
        ticking = self._log_meanwhile(exchange) if manager.logs_meanwhile else None
        try:
            await self._answer(exchange, before)
        except (trio.Cancelled, BaseExceptionGroup):  # a drain's time was over; a group of it from several tasks
            if not (exchange.info.response_complete or exchange.info.flags):
                exchange.note(cut_off())
            raise
        finally:
            del manager.activity.streams[connection]
            if ticking is not None:
                ticking.stop()
            manager.disconnects.discard(connection.fd)
            manager.end_exchange()
            now = exchange.info.ended = trio.current_time()
            self._stats.charge_exchange(exchange, now - started)
            info = exchange.info
            for access_log in manager.access_logs:
                access_log.log(info)
            if info.flags or info.status >= FAILED_STATUS or now - started >= manager.recorder.slow:
                hcm_record.add(exchange, connection, manager)
                manager.activity.failed += own_failure(info)
        if connection.info is not None and Flag.DOWNSTREAM_PROTOCOL_ERROR in exchange.info.flags:
            connection.info.flags.add(Flag.DOWNSTREAM_PROTOCOL_ERROR)
        self.active = Flag.DOWNSTREAM_CONNECTION_TERMINATION in exchange.info.flags
        connection.closed_by_peer = connection.closed_by_peer or self.active
        return exchange

    async def _answer(self, exchange: Exchange, before: Exchange | None) -> None:
        """Read the head and run the filters, which answer; reply to what fails outside of them, or in all of them."""
        failure: ProxyError | None = None
        try:
            with exchange.deadlines.scope as scope:
                if before is None:
                    await self._read_head(exchange)
                else:
                    self._resume(exchange, before)
                await self._chain(exchange)
        except ProxyError as error:
            failure = error
        except Exception:
            log.exception("an exchange failed")
            exchange.info.cause = traceback.format_exc()
            failure = ProxyError("internal_error", side="internal", status=500, close=True)
        if scope.cancelled_caught:
            failure = exchange.failure()
        elif failure is None and not (exchange.response_started or exchange.close or exchange.redirected):
            failure = ProxyError("filter_chain_without_response", side="internal", status=500)
        if failure is not None:
            await self._reply(exchange, failure)

    async def _read_head(self, exchange: Exchange) -> None:
        config = self._config
        deadlines = exchange.deadlines
        deadlines.arm(Phase.REQUEST_HEADERS, config.request_headers_timeout)
        deadlines.arm(Phase.REQUEST, config.request_timeout)
        event = await self._downstream.receive()
        if isinstance(event, ConnectionEnded):
            raise disconnected()
        if not isinstance(event, RequestReceived):
            raise AssertionError(f"{event!r} before a request")
        deadlines.disarm(Phase.REQUEST_HEADERS)
        deadlines.touch()
        exchange.begin(event)
        if event.end_stream:
            deadlines.disarm(Phase.REQUEST)
        request = exchange.request
        exchange.info.upgrade = event.upgrade or ("connect" if event.method == b"CONNECT" else "")
        self._admit(exchange)
        handover = exchange.handover
        entry = handover.entry if handover is not None else None
        if handover is not None and handover.request_id:
            request.headers.set(REQUEST_ID, handover.request_id)
        self._route(exchange, entry)

    def _resume(self, exchange: Exchange, before: Exchange) -> None:
        """Begin with the request that `before` was redirected to; nobody has to be asked again who is asking."""
        assert before.redirected is not None
        exchange.resume(before, before.redirected)
        self._aim(exchange.request)
        self._route(exchange, None)

    def _route(self, exchange: Exchange, entry: RouteEntry | None) -> None:
        """Give the exchange a route: `entry`, if that has been chosen."""
        exchange.routes = self._manager.routes
        exchange.clusters = self._manager.clusters.now
        exchange.routing = self
        if entry is None:
            exchange.route = self.choose(exchange)
        else:
            exchange.route = entry
            self._enter(exchange, entry)
        if self._config.log_options.new_requests:
            log_meanwhile(self._manager.access_logs, exchange.info, b"DownstreamStart")

    def choose(self, exchange: Exchange) -> RouteEntry | None:
        """As `Routing`."""
        assert exchange.routes is not None
        entry = exchange.routes.match(exchange.request, exchange.info)
        exchange.info.route_name = exchange.info.upstream_cluster = ""
        exchange.info.entry = None
        if entry is not None:
            self._enter(exchange, entry)
        return entry

    def _enter(self, exchange: Exchange, entry: RouteEntry) -> None:
        """What follows from a route at once, whatever the filters do."""
        exchange.info.entry = entry
        exchange.info.route_name = entry.route.name
        exchange.info.upstream_cluster = entry.cluster_name(exchange.request)
        action = entry.route.action
        if isinstance(action, ClusterAction):
            hcm_route_timeouts.apply(exchange, action.forwarding, self._config.max_stream_duration)
        if self._manager.route_stats.observes:
            observed = exchange.info.observed = self._manager.route_stats.of(entry, exchange.request)
            exchange.info.virtual_cluster = observed[-1].virtual_cluster if observed else ""

    async def _chain(self, exchange: Exchange) -> None:
        manager = self._manager
        if not exchange.info.upgrade:
            await manager.chain(exchange)
        else:
            await manager.upgrades.serve(exchange, manager.chain)

    def _log_meanwhile(self, exchange: Exchange) -> Ticking | None:
        """Have entries made before the exchange is over, if there are to be any. The caller stops what ticks."""
        logs, options, info = self._manager.access_logs, self._config.log_options, exchange.info
        if options.tunnels:
            exchange.on_tunnel = lambda: log_meanwhile(logs, info, b"DownstreamTunnelSuccessfullyEstablished")
        if not options.interval:
            return None
        tick = functools.partial(log_meanwhile, logs, info, b"DownstreamPeriodic")
        return self._manager.periodic.every(options.interval, tick, since=info.started)

    def _admit(self, exchange: Exchange) -> None:
        """Find out who is asking and edit the head accordingly; refuses what may not be routed."""
        identities, request = self._manager.identities, exchange.request
        match self._config.identity.underscores:
            case "DROP_HEADER":
                self._stats.dropped_underscores.inc(drop_underscores(request.headers))
            case "REJECT_REQUEST":
                refuse_underscores(request.headers)
        self._aim(request)
        for edit in self._manager.early_mutations:
            edit(request.headers, exchange.info)
        caller = identities.admit(request.headers, self._hop, upgrading=request.upgrade != "")
        exchange.info.downstream_remote = caller.address
        exchange.info.internal = caller.internal
        exchange.tells_request_id = identities.tells_request_id(request.headers, caller)
        if request.path[:1] != b"/" and request.method != b"CONNECT":
            self._stats.rq_non_relative_path.inc()
            raise ProxyError("absolute_path_rejected", side="downstream", status=404)

    def _aim(self, request: Request) -> None:
        """Make the request's host and path what routing is to see."""
        target = self._manager.target
        target.apply_to_host(request, self._hop.port)
        if target.changes_paths:
            try:
                target.apply_to_path(request)
            except ProxyError as error:
                stats = self._stats
                (stats.rq_redirected_path if error.status == REDIRECT_STATUS else stats.rq_failed_path).inc()
                raise

    async def _reply(self, exchange: Exchange, failure: ProxyError) -> None:
        """The local reply, outside the exchange's scope, which may have expired."""
        self._connection.deadline(self._config.stream_idle_timeout)
        try:
            await exchange.reply(failure)
        except ProxyError as error:
            exchange.note(error)
            exchange.close = True
        self._connection.deadline(0)

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
