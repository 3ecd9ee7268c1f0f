"""An exchange before its filters: what it begins with, and its route, which filters may have chosen again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config.route import ClusterAction
from proxy.filters.network import hcm_route_timeouts
from proxy.http.deadlines import Deadlines, Phase
from proxy.http.downstream import Downstream
from proxy.http.exchange import Exchange
from proxy.http.stream_info import StreamInfo
from proxy.net.connection import Connection
from proxy.route.entry import RouteEntry

if TYPE_CHECKING:
    from proxy.filters.network.http_connection_manager import HttpConnectionManager


def new_exchange(
    manager: HttpConnectionManager, connection: Connection, downstream: Downstream, started: float
) -> Exchange:
    """One that began at `started`, of which no head has been read."""
    config = manager.config
    deadlines = Deadlines(config.stream_idle_timeout, started, config.stream_flush_timeout)
    deadlines.arm_from(Phase.STREAM_DURATION, started, config.max_stream_duration)
    return Exchange(downstream, deadlines, StreamInfo(started, connection), manager.policy)


class Routing:
    """As `proxy.http.exchange.Routing`, for one exchange."""

    __slots__ = ("_manager",)

    def __init__(self, manager: HttpConnectionManager) -> None:
        self._manager = manager

    def begin(self, exchange: Exchange, entry: RouteEntry | None) -> None:
        """Give the exchange a route: `entry`, if that has been chosen."""
        exchange.routes = self._manager.routes
        exchange.clusters = self._manager.clusters.now
        exchange.routing = self
        if entry is None:
            exchange.route = self.choose(exchange)
        else:
            exchange.route = entry
            self._enter(exchange, entry)

    def choose(self, exchange: Exchange) -> RouteEntry | None:
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
            hcm_route_timeouts.apply(exchange, action.forwarding, self._manager.config.max_stream_duration)
        if self._manager.route_stats.observes:
            observed = exchange.info.observed = self._manager.route_stats.of(entry, exchange.request)
            exchange.info.virtual_cluster = observed[-1].virtual_cluster if observed else ""
