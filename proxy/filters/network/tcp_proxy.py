"""`envoy.filters.network.tcp_proxy`: a connection to a host of a cluster for each downstream connection."""

from __future__ import annotations

import functools
import math

import trio

from proxy.access_log.access_log import build_access_logs
from proxy.access_log.log import log_meanwhile
from proxy.access_log.periodic import Ticking
from proxy.errors import Flag, ProxyError, describe, errno_name
from proxy.filters.context import CallNextNetwork, FilterContext
from proxy.filters.network import tcp_proxy_config, tcp_record
from proxy.filters.network.tcp_proxy_stats import TcpStats
from proxy.filters.network.tcp_upstream import Direct, Tunnels, Upstream
from proxy.http.stream_info import Attempt, StreamInfo
from proxy.net.connection import Connection
from proxy.net.peer import cut_off
from proxy.net.relay import Direction, Idle, Relay
from proxy.net.relay_end import SocketEnd
from proxy.route.hash_policy import address_hash
from proxy.route.weighted import Weighted
from proxy.upstream.cluster import Cluster
from proxy.upstream.load_balancer_context import LoadBalancerContext


class TcpProxy:
    """Built once per filter chain. Terminal: calls no next filter."""

    Config = tcp_proxy_config.Config
    terminal = True
    from_proto = staticmethod(tcp_proxy_config.from_proto)

    def __init__(self, name: str, config: tcp_proxy_config.Config, context: FilterContext) -> None:
        self._config = config
        self._clusters = context.clusters
        self._activity = context.activity
        self._pipes = context.pipes
        self._recorder = context.recorder
        self._listener = context.listener_prefix.removeprefix("listener.").removesuffix(".")
        self._stats = TcpStats(context.stats, config.stat_prefix)
        self._periodic = context.periodic
        self._access_logs = build_access_logs(config.access_log, context.log_sinks)
        self._tunnels = Tunnels(config.tunneling) if config.tunneling is not None else None
        self._choice = Weighted([(choice, choice.weight) for choice in config.clusters])

    async def __call__(self, connection: Connection, call_next: CallNextNetwork) -> None:
        self._stats.cx_total.inc()
        info = connection.info or StreamInfo(trio.current_time(), connection)
        info.is_http = False
        end = info.started + (self._config.max_connection_duration or math.inf)
        self._activity.begun += 1  # what passes here is work in hand: a drain waits for it until its deadline
        finished = False
        detail = ""
        self._activity.streams[connection] = info
        if self._access_logs:
            connection.know_peer()
        ticking: Ticking | None = None
        if self._config.log_interval:
            tick = functools.partial(self._log, connection, info, b"TcpPeriodic")
            ticking = self._periodic.every(self._config.log_interval, tick)
        try:
            with trio.CancelScope(deadline=end) as scope:
                await self._serve(connection, info, scope, end)
            if scope.cancelled_caught:
                detail = self._timed_out(info, end)
            finished = True
        except ProxyError as error:
            finished = True
            detail = error.detail
            if error.flag is not None:
                info.flags.add(error.flag)
            self._activity.failed += 1
            raise
        finally:
            del self._activity.streams[connection]
            if not finished:  # the drain's time was over
                detail = cut_off().detail
                if self._activity.draining:
                    self._stats.cx_drain_close.inc()
            self._activity.ended += 1
            if ticking is not None:
                ticking.stop()
            info.ended = info.connection_ended = trio.current_time()
            self._log(connection, info, b"TcpConnectionEnd")
            if info.flags or detail:
                self._record(connection, info, detail)

    def _log(self, connection: Connection, info: StreamInfo, log_type: bytes) -> None:
        info.bytes_received, info.bytes_sent = connection.bytes_received, connection.bytes_sent
        log_meanwhile(self._access_logs, info, log_type)

    def _record(self, connection: Connection, info: StreamInfo, detail: str) -> None:
        cluster = self._clusters.get(info.upstream_cluster)
        tcp_record.add(
            info,
            detail,
            connection,
            listener=self._listener,
            config=self._config,
            cluster=cluster.config if cluster is not None else None,
            recorder=self._recorder,
        )

    async def _serve(self, connection: Connection, info: StreamInfo, scope: trio.CancelScope, end: float) -> None:
        if self._tunnels is not None:  # whose other end may take any time to agree
            Idle(scope, self._config.idle_timeout, end=end)
        upstream = await self._connect(info)
        ended: Relay | None = None
        try:
            info.upstream_remote, info.upstream_local = upstream.address, upstream.local
            if self._config.log_on_connected:
                self._log(connection, info, b"TcpUpstreamConnected")
            idle = Idle(scope, self._config.idle_timeout, end=end)
            relay = Relay(*self._directions(connection, upstream), self._pipes, idle)
            with trio.CancelScope() as wanted:
                upstream.when_abandoned(wanted.cancel)
                await relay.run()
                ended = relay
        finally:
            upstream.close(ended)
        if relay.reset_by == "upstream":  # a reset is passed on as one, in both directions
            info.upstream_close_type = b"RemoteReset"
            info.flags.add(Flag.UPSTREAM_REMOTE_RESET)
            connection.know_peer()  # who is on record
            connection.reset()
        elif relay.reset_by == "downstream":
            connection.closed_by_peer = True
            connection.close_type = b"RemoteReset"

    async def _connect(self, info: StreamInfo) -> Upstream:
        """A host of a cluster, after `max_connect_attempts` at most. Raises `ProxyError`."""
        cluster, context = self._pick(info)
        while True:
            began = trio.current_time()
            info.begin_attempt(began)
            try:
                if self._tunnels is not None:
                    return await self._tunnels.open(cluster, info, context)
                return Direct(await cluster.open_connection(info, context), info)
            except ProxyError as error:
                if error.flag is not Flag.UPSTREAM_CONNECTION_FAILURE:
                    info.upstream_attempts -= 1  # nobody was asked
                    raise
                info.upstream_failure = error.transport_failure
                took = trio.current_time() - began
                host = str(info.upstream_tried)
                info.attempts += (Attempt(host, "connect", describe(error), took, errno_name(error)),)
                if info.upstream_attempts >= self._config.max_connect_attempts:
                    cluster.charge_attempts_exceeded()
                    if error.flag is not None:
                        info.flags.add(error.flag)  # before the next one, as in Envoy
                    info.flags.add(Flag.UPSTREAM_RETRY_LIMIT_EXCEEDED)
                    raise

    def _pick(self, info: StreamInfo) -> tuple[Cluster, LoadBalancerContext]:
        choice = self._choice.pick()
        info.upstream_cluster = choice.name
        cluster = self._clusters.get(choice.name)
        if cluster is None:
            self._stats.cx_no_route.inc()
            raise ProxyError("cluster_not_found", side="internal", status=0, flag=Flag.NO_CLUSTER_FOUND)
        number = address_hash(info.connection.remote) if self._config.hash_source_ip and info.connection else None
        return cluster, LoadBalancerContext(choice.labels, number, info=info)

    def _directions(self, connection: Connection, upstream: Upstream) -> tuple[Direction, Direction]:
        stats = self._stats

        def received(count: int) -> None:
            connection.bytes_received += count
            stats.cx_rx_bytes_total.inc(count)

        def sent(count: int) -> None:
            connection.bytes_sent += count
            stats.cx_tx_bytes_total.inc(count)

        def upstream_blocked(count: int) -> None:
            (stats.paused_reading if count > 0 else stats.resumed_reading).inc()

        near = SocketEnd(connection.socket, upstream.limit, received, sent)
        far, greeting = upstream.leave()
        return (
            Direction("downstream", near, far, blocked=upstream_blocked),
            Direction("upstream", far, near, first=greeting, blocked=stats.cx_tx_bytes_buffered.add),
        )

    def _timed_out(self, info: StreamInfo, end: float) -> str:
        """Counts it; says which timeout it was."""
        if trio.current_time() >= end:
            self._stats.max_duration.inc()
            info.flags.add(Flag.DURATION_TIMEOUT)
            return tcp_record.MAX_DURATION
        self._stats.idle_timeout.inc()
        if info.upstream_remote is None:  # no tunnel yet
            info.flags.add(Flag.UPSTREAM_CONNECTION_FAILURE)
        return tcp_record.IDLE_TIMEOUT
