"""The ways through a bootstrap to what one request meets."""

from __future__ import annotations

from typing import NamedTuple

from master.explain.request.place import Path, Places
from master.explain.request.tree_paths import routes_of
from proxy.config.bootstrap import CompiledConfig
from proxy.explain.routing import Routing
from proxy.filters.network.hcm_config import Config

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


class Paths(NamedTuple):
    """Of a connection manager, and of what its routing has found. Empty where there is none."""

    listener: Path
    chain: Path
    manager: Path
    routes: Path = ()
    host: Path = ()
    route: Path = ()
    share: Path = ()

    @property
    def action(self) -> Path:
        return (*self.route, "route")


def to_listener(places: Places, config: CompiledConfig, index: int, chain: int) -> Paths:
    """To listener number `index`, and the last network filter of its filter chain number `chain`."""
    listener = places.index(("static_resources", "listeners"), index, len(config.listeners))
    chains = config.listeners[index].filter_chains
    at_chain = places.index((*listener, "filter_chains"), chain, len(chains))
    filters = chains[chain].filters
    last = places.index((*at_chain, "filters"), len(filters) - 1, len(filters))
    return Paths(listener, at_chain, (*last, "typed_config"))


def with_routing(paths: Paths, places: Places, config: Config, routing: Routing) -> Paths:
    """The same with the virtual host, route and weighted cluster of `routing`."""
    routes = (*paths.manager, "route_config")
    if routing.host < 0:
        return paths._replace(routes=routes)
    hosts = config.route_config.virtual_hosts
    host = places.index((*routes, "virtual_hosts"), routing.host, len(hosts))
    found = paths._replace(routes=routes, host=host)
    if routing.number < 0 or routing.entry is None:
        return found
    found = found._replace(route=to_route(found, places, config, routing, routing.number))
    if routing.share < 0:
        return found
    shares = len(routing.entry.route.action.weighted)  # type: ignore[union-attr]
    return found._replace(share=places.index((*found.action, "weighted_clusters", "clusters"), routing.share, shares))


def to_route(paths: Paths, places: Places, config: Config, routing: Routing, index: int) -> Path:
    """To route number `index` of the virtual host, which may stand in a matcher tree."""
    host = config.route_config.virtual_hosts[routing.host]
    count = len(host.routes)
    if host.matcher is not None:
        tree = (*paths.host, "matcher")
        found = list(routes_of(places.value(tree) or {}, tree))
        return found[index] if len(found) == count else tree
    return places.index((*paths.host, "routes"), index, count)


def to_cluster(places: Places, config: CompiledConfig, name: str) -> Path:
    """To the cluster called `name`; empty if there is none."""
    clusters = places.value(("static_resources", "clusters")) or []
    for index, cluster in enumerate(clusters):
        if cluster.get("name") == name:
            return ("static_resources", "clusters", index)
    return ()
