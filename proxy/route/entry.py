"""One route of the table, compiled."""

from __future__ import annotations

import msgspec

from proxy.config.common import PluginConfig
from proxy.config.route import ClusterAction, ClusterWeight, Route, RouteConfiguration, VirtualHost
from proxy.route.conditions import Condition, by_path_alone, compile_conditions
from proxy.route.matcher import Predicate, RequestHead
from proxy.route.path import compile_path
from proxy.route.retry import RetryRules
from proxy.route.weighted import Weighted


class RouteEntry:
    """One route with what a filter may ask of it.

    A route of weighted clusters has an entry below it for each `share`: the same route to that one cluster.
    `conditions` are what it asks beyond its path; `by_path_alone` says that they look at nothing but path and query.
    `retry` are its rules for retries, None if it has none.
    """

    __slots__ = (
        "_filter_configs",
        "_path_matches",
        "_shares",
        "by_path_alone",
        "conditions",
        "retry",
        "route",
        "virtual_host",
    )

    def __init__(
        self, config: RouteConfiguration, virtual_host: VirtualHost, route: Route, share: ClusterWeight | None = None
    ) -> None:
        self.route = route
        self.virtual_host = virtual_host
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
        policy = self.route.action.forwarding.retry if isinstance(self.route.action, ClusterAction) else None
        self.retry = RetryRules(policy) if policy is not None else None
        self._path_matches: Predicate | None = None
        self.conditions: tuple[Condition, ...] = compile_conditions(route.match)
        self.by_path_alone = by_path_alone(route.match)

    @property
    def path_matches(self) -> Predicate:
        """Whether a path without query is right. Compiled when it is first asked for: an index knows most of them."""
        if self._path_matches is None:
            self._path_matches = compile_path(self.route.match)
        return self._path_matches

    def accepts(self, request: RequestHead) -> bool:
        """Whether `request` meets the conditions, if its path is right."""
        for condition in self.conditions:  # noqa: SIM110 (a generator costs more)
            if not condition(request):
                return False
        return True

    def matches(self, path: bytes, request: RequestHead) -> bool:
        """Whether this route takes `request`, whose path without query is `path`."""
        return self.path_matches(path) and self.accepts(request)

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
