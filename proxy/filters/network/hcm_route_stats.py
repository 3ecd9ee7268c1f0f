"""Stats of virtual clusters and of routes: `vhost.<name>.vcluster.<name>.*`, `vhost.<name>.route.<stat_prefix>.*`."""

from __future__ import annotations

from proxy.config.route import RouteConfiguration, VirtualHost
from proxy.errors import Flag
from proxy.http.exchange import Exchange
from proxy.route.entry import RouteEntry
from proxy.route.matcher import HeaderPredicate, RequestHead, compile_header
from proxy.stats import Stats
from proxy.upstream.stats import Outcomes

OTHER = "other"
"""The virtual cluster of requests that belong to no other one of their virtual host, if it has any."""


class Observed:
    """One name's stats, of the requests that reached a cluster. `virtual_cluster` is the name, if it is one's."""

    def __init__(self, stats: Stats, prefix: str, virtual_cluster: str = "") -> None:
        self.virtual_cluster = virtual_cluster
        self._outcomes = Outcomes(stats, prefix)
        self._total = stats.counter(f"{prefix}upstream_rq_total")
        self._timeout = stats.counter(f"{prefix}upstream_rq_timeout")
        self.retry = stats.counter(f"{prefix}upstream_rq_retry")
        self.retry_limit_exceeded = stats.counter(f"{prefix}upstream_rq_retry_limit_exceeded")
        self.retry_overflow = stats.counter(f"{prefix}upstream_rq_retry_overflow")
        self.retry_success = stats.counter(f"{prefix}upstream_rq_retry_success")

    def charge(self, exchange: Exchange) -> None:
        """The exchange is over."""
        info = exchange.info
        if not info.upstream_attempts:
            return
        if info.upstream_remote is not None:
            self._total.inc()
        if Flag.UPSTREAM_REQUEST_TIMEOUT in info.flags:
            self._timeout.inc()
        if exchange.response_started:
            self._outcomes.charge(info.status)
        if info.response_received:
            self._outcomes.time.record(round((info.response_received - info.request_received) * 1000))


class RouteStats:
    """Those of one connection manager. `observes`: there are any at all."""

    def __init__(self, config: RouteConfiguration, stats: Stats) -> None:
        self._clusters = {
            host.name: _virtual_clusters(host, stats) for host in config.virtual_hosts if host.virtual_clusters
        }
        self._routes = {
            (host.name, route.stat_prefix): Observed(stats, f"vhost.{host.name}.route.{route.stat_prefix}.")
            for host in config.virtual_hosts
            for route in host.routes
            if route.stat_prefix
        }
        self.observes = bool(self._clusters or self._routes)

    def of(self, entry: RouteEntry, request: RequestHead) -> list[Observed]:
        """What `request`, as it was when it was routed, counts in."""
        if entry.reply is not None:
            return []
        host, found = entry.virtual_host.name, []
        if entry.route.stat_prefix:
            found.append(self._routes[host, entry.route.stat_prefix])
        for predicates, observed in self._clusters.get(host, ()):
            if all(predicate(request) for predicate in predicates):
                found.append(observed)
                break
        return found


def observed(entry: RouteEntry) -> bool:
    """Whether requests on this route count in stats of this file."""
    return bool(entry.virtual_host.virtual_clusters or entry.route.stat_prefix)


def _virtual_clusters(host: VirtualHost, stats: Stats) -> list[tuple[list[HeaderPredicate], Observed]]:
    """In listed order; the last one takes everything."""
    prefix = f"vhost.{host.name}.vcluster."
    found = [
        (
            [compile_header(header) for header in cluster.headers],
            Observed(stats, f"{prefix}{cluster.name}.", cluster.name),
        )
        for cluster in host.virtual_clusters
    ]
    return [*found, ([], Observed(stats, f"{prefix}{OTHER}."))]
