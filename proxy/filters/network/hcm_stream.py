"""One exchange of a downstream connection, from its head to its log entries: Envoy's `ActiveStream`."""

from __future__ import annotations

import functools
import logging
import traceback
from typing import TYPE_CHECKING

import trio

from proxy.access_log.log import log_meanwhile
from proxy.access_log.periodic import Ticking
from proxy.errors import ProxyError
from proxy.filters.network import hcm_record
from proxy.filters.network.hcm_routing import Routing, new_exchange
from proxy.flight_recorder import FAILED_STATUS, own_failure
from proxy.http.deadlines import NEVER, Phase
from proxy.http.downstream import Downstream
from proxy.http.events import ConnectionEnded, RequestReceived
from proxy.http.exchange import Exchange
from proxy.http.handover import Handover
from proxy.http.identity import REQUEST_ID, Hop
from proxy.http.request import Request
from proxy.http.target import REDIRECT_STATUS
from proxy.http.underscores import drop_underscores, refuse_underscores
from proxy.net.connection import Connection
from proxy.net.peer import cut_off, disconnected
from proxy.route.entry import RouteEntry

if TYPE_CHECKING:
    from proxy.filters.network.http_connection_manager import HttpConnectionManager

log = logging.getLogger("proxy.http")


class ActiveStream:
    """`run` once, then `end`, in `finally`. The exchange began at `started` (`trio.current_time()`), or `handover` has
    begun it.
    """

    __slots__ = ("_config", "_connection", "_downstream", "_hop", "_manager", "exchange")

    def __init__(
        self,
        manager: HttpConnectionManager,
        connection: Connection,
        hop: Hop,
        downstream: Downstream,
        started: float,
        handover: Handover | None = None,
    ) -> None:
        config = manager.config
        self._manager = manager
        self._config = config
        self._connection = connection
        self._hop = hop
        self._downstream = downstream
        if handover is not None and handover.begun is not None:
            self.exchange = handover.begun.exchange
            self.exchange.move_to(downstream)
        else:
            self.exchange = new_exchange(manager, connection, downstream, started)
        self.exchange.handover = handover

    async def run(self, before: Exchange | None = None) -> None:
        """Read the head, run the filters, and see to it that there is an answer. `before` has been redirected to it."""
        exchange = self.exchange
        ticking = self._log_meanwhile(exchange) if self._manager.logs_meanwhile else None
        try:
            await self._answer(exchange, before)
        except (trio.Cancelled, BaseExceptionGroup):  # a drain's time was over; a group of it from several tasks
            if not (exchange.info.response_complete or exchange.info.flags):
                exchange.note(cut_off())
            raise
        finally:
            if ticking is not None:
                ticking.stop()

    def refuse(self, error: ProxyError) -> None:
        """End an exchange whose head was never one: `run` and `end` in one."""
        self.exchange.request.protocol = "HTTP/2"
        self.exchange.info.request = self.exchange.request
        self.exchange.note(error)
        self.end()

    def end(self) -> None:
        """Charge what there was, log it, and put it on record if it failed."""
        exchange, manager, connection = self.exchange, self._manager, self._connection
        info = exchange.info
        now = info.ended = trio.current_time()
        manager.stats.charge_exchange(exchange, now - info.started, http2=self._downstream.multiplexed)
        for access_log in manager.access_logs:
            access_log.log(info)
        if info.flags or info.status >= FAILED_STATUS or now - info.started >= manager.recorder.slow:
            hcm_record.add(exchange, connection, manager)
            manager.activity.failed += own_failure(info)

    async def _answer(self, exchange: Exchange, before: Exchange | None) -> None:
        """Read the head and run the filters, which answer; reply to what fails outside of them, or in all of them."""
        failure: ProxyError | None = None
        try:
            with exchange.deadlines.scope as scope:
                if before is None:
                    await self._read_head(exchange)
                else:
                    self._resume(exchange, before)
                sent = exchange.handover is not None and exchange.handover.upstream is not None
                if self._downstream.multiplexed and not sent:
                    await trio.lowlevel.checkpoint_if_cancelled()  # the client may have reset it in the same breath
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
        at_hand = self._downstream.has_head()
        if not at_hand:
            deadlines.arm(Phase.REQUEST_HEADERS, config.request_headers_timeout)
            deadlines.arm(Phase.REQUEST, config.request_timeout)
        event = await self._downstream.receive()
        if isinstance(event, ConnectionEnded):
            raise disconnected()
        if not isinstance(event, RequestReceived):
            raise AssertionError(f"{event!r} before a request")
        deadlines.disarm(Phase.REQUEST_HEADERS)
        if event.end_stream:
            deadlines.disarm(Phase.REQUEST)
        elif at_hand:
            deadlines.arm(Phase.REQUEST, config.request_timeout)
        deadlines.touch()
        if exchange.handover is not None and exchange.handover.begun is not None:
            return
        exchange.begin(event)
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
        Routing(self._manager).begin(exchange, entry)
        if self._config.log_options.new_requests:
            log_meanwhile(self._manager.access_logs, exchange.info, b"DownstreamStart")

    async def _chain(self, exchange: Exchange) -> None:
        manager, handover = self._manager, exchange.handover
        if handover is not None and handover.begun is not None:
            await handover.begun.rest()
        elif not exchange.info.upgrade:
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
                self._manager.stats.dropped_underscores.inc(drop_underscores(request.headers))
            case "REJECT_REQUEST":
                refuse_underscores(request.headers)
        if self._downstream.multiplexed and b"#" in request.path:
            # Routing would look at one path and the upstream at another (CVE-2021-32779).
            self._manager.stats.rq_failed_path.inc()
            raise ProxyError("path_normalization_failed", side="downstream", status=400)
        self._aim(request)
        for edit in self._manager.early_mutations:
            edit(request.headers, exchange.info)
        caller = identities.admit(request.headers, self._hop, upgrading=request.upgrade != "")
        exchange.info.downstream_remote = caller.address
        exchange.info.internal = caller.internal
        exchange.tells_request_id = identities.tells_request_id(request.headers, caller)
        if request.path[:1] != b"/" and request.method != b"CONNECT":
            self._manager.stats.rq_non_relative_path.inc()
            raise ProxyError("absolute_path_rejected", side="downstream", status=404)

    def _aim(self, request: Request) -> None:
        """Make the request's host and path what routing is to see."""
        target = self._manager.target
        target.apply_to_host(request, self._hop.port)
        if target.changes_paths:
            try:
                target.apply_to_path(request)
            except ProxyError as error:
                stats = self._manager.stats
                (stats.rq_redirected_path if error.status == REDIRECT_STATUS else stats.rq_failed_path).inc()
                raise

    async def _reply(self, exchange: Exchange, failure: ProxyError) -> None:
        """The local reply, outside the exchange's scope, which may have expired."""
        timeout = self._config.stream_idle_timeout
        try:
            if self._downstream.multiplexed:
                with trio.move_on_after(timeout or NEVER):
                    await exchange.reply(failure)
                return
            self._connection.deadline(timeout)
            await exchange.reply(failure)
        except ProxyError as error:
            exchange.note(error)
            exchange.close = True
        self._connection.deadline(0)
