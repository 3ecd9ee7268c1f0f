"""The route table of one `RouteConfiguration`: virtual host by authority, then the first route that matches."""

from __future__ import annotations

import msgspec

from proxy.config.common import PluginConfig
from proxy.config.route import ClusterAction, ClusterWeight, Route, RouteConfiguration, VirtualHost
from proxy.route.domains import DomainTable
from proxy.route.matcher import HeaderPredicate, Predicate, RequestHead, compile_header
from proxy.route.path import compile_path, without_query
from proxy.route.weighted import Weighted


class RouteEntry:
    """One route with what a filter may ask of it.

    A route of weighted clusters has an entry below it for each `share`: the same route to that one cluster.
    """

    __slots__ = ("_filter_configs", "_headers_match", "_path_matches", "_share", "_shares", "route", "virtual_host")

    def __init__(
        self, config: RouteConfiguration, virtual_host: VirtualHost, route: Route, share: ClusterWeight | None = None
    ) -> None:
        self.route = route
        self.virtual_host = virtual_host
        self._share = share
        self._shares: Weighted[RouteEntry] | None = None
        if isinstance(route.action, ClusterAction) and route.action.weighted:
            if share is None:
                choices = [(RouteEntry(config, virtual_host, route, one), one.weight) for one in route.action.weighted]
                self._shares = Weighted(choices)
            else:
                action = msgspec.structs.replace(route.action, cluster=share.name, weighted=())
                self.route = msgspec.structs.replace(route, action=action)
        self._filter_configs: dict[str, tuple[PluginConfig, ...]] = {}
        for level in (config, virtual_host, route, *((share,) if share else ())):
            for name, plugin in level.typed_per_filter_config.items():
                self._filter_configs[name] = (*self._filter_configs.get(name, ()), plugin)
        self._path_matches: Predicate = compile_path(route.match)
        self._headers_match: tuple[HeaderPredicate, ...] = tuple(map(compile_header, route.match.headers))

    def matches(self, path: bytes, request: RequestHead) -> bool:
        """Whether this route takes `request`, whose path without query is `path`."""
        if not self._path_matches(path):
            return False
        return all(header_matches(request) for header_matches in self._headers_match)

    @property
    def fixed(self) -> bool:
        """Whether an equal request gets this entry again: it was not chosen at random."""
        return self._share is None

    def choose(self) -> RouteEntry:
        """What a request that matches gets: this entry, or at random one of its shares."""
        return self if self._shares is None else self._shares.pick()

    def filter_config(self, name: str) -> PluginConfig | None:
        """`typed_per_filter_config` of the filter instance called `name`, or None. The most specific one wins whole:
        weighted cluster over route over virtual host over route configuration."""
        levels = self._filter_configs.get(name)
        return levels[-1] if levels else None

    def filter_configs(self, name: str) -> tuple[PluginConfig, ...]:
        """Those of all levels, from the route configuration's to the route's or weighted cluster's."""
        return self._filter_configs.get(name, ())


class RouteTable:
    """Compiled once per `RouteConfiguration`. Routes are tried in their listed order; there is no longest match."""

    __slots__ = ("_domains",)

    def __init__(self, config: RouteConfiguration) -> None:
        self._domains: DomainTable[tuple[RouteEntry, ...]] = DomainTable(
            (domain, entries)
            for virtual_host in config.virtual_hosts
            for entries in [tuple(RouteEntry(config, virtual_host, route) for route in virtual_host.routes)]
            for domain in virtual_host.domains
        )

    def match(self, request: RequestHead) -> RouteEntry | None:
        """The route for `request`, or None (404, flag NR). A request without a path (CONNECT) matches no path route."""
        entries = self._domains.find(request.authority)
        if not entries or not request.path:
            return None
        path = without_query(request.path)
        for entry in entries:
            if entry.matches(path, request):
                return entry.choose()
        return None
