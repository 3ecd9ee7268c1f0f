"""Stats of virtual clusters and of routes: `vhost.<name>.vcluster.<name>.*`, `vhost.<name>.route.<stat_prefix>.*`."""

from __future__ import annotations

from proxy.config.route import RouteConfiguration, VirtualHost
from proxy.route.entry import RouteEntry
from proxy.route.matcher import HeaderPredicate, RequestHead, compile_header
from proxy.stats import Stats
from proxy.upstream.observed import Observed

OTHER = "other"
"""The virtual cluster of requests that belong to no other one of their virtual host, if it has any."""


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

    def of(self, entry: RouteEntry, request: RequestHead) -> tuple[Observed, ...]:
        """What `request`, as it was when it was routed, counts in."""
        if entry.reply is not None:
            return ()
        host, found = entry.virtual_host.name, []
        if entry.route.stat_prefix:
            found.append(self._routes[host, entry.route.stat_prefix])
        for predicates, observed in self._clusters.get(host, ()):
            if all(predicate(request) for predicate in predicates):
                found.append(observed)
                break
        return tuple(found)


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
