"""One route of the table, compiled."""

from __future__ import annotations

import msgspec

from proxy.config.common import PluginConfig
from proxy.config.lb_subsets import Labels
from proxy.config.route import ClusterAction, ClusterWeight, Route, RouteConfiguration, VirtualHost
from proxy.http.request import Request
from proxy.route.conditions import Condition, by_path_alone, compile_conditions
from proxy.route.finish import CompileEdits, compile_finish, no_edits
from proxy.route.hash_policy import RequestHash, subject
from proxy.route.labels import merged
from proxy.route.matcher import Lookup, Predicate, RequestHead, lookup
from proxy.route.path import compile_path
from proxy.route.reply import Reply, compile_reply
from proxy.route.retry import RetryRules
from proxy.route.rewrite import set_host
from proxy.route.weighted import Weighted, parse_number


def _reads_fields(action: ClusterAction) -> bool:
    return bool(
        action.cluster_header
        or action.weight_header
        or (action.host_rewrite is not None and action.host_rewrite.kind == "header")
        or any(share.cluster_header for share in action.weighted)
        or any(policy.kind == "header" for policy in action.hash_policies)
    )


class RouteEntry:
    """One route with what a filter may ask of it.

    A route of weighted clusters has an entry below it for each `share`: the same route to that one cluster. `share` is
    None for all others.
    `conditions` are what it asks beyond its path; `by_path_alone` says that they look at nothing but path and query.
    `reads_fields`: what a field of the request says decides about its cluster or host. `reply`: the route answers
    itself. `finish_request` makes a request the upstream's, `finish_response` edits its response, and local replies;
    None where there is nothing to do. `rewrite_path` is what becomes of the path in `finish_request`; `by_head`: the
    rest of what both do follows from the header lines of the request.
    `auto_host`: the host's own name becomes the authority, once it is picked.
    `retry` are its rules for retries, None if it has none. `labels` say which hosts of the cluster requests are for,
    `request_hash` leads equal ones to the same host; None if it says nothing of that. `draws_by_hash`: to the same
    share, too.
    """

    __slots__ = (
        "_cluster",
        "_cluster_header",
        "_filter_configs",
        "_path_matches",
        "_shares",
        "_weight_header",
        "auto_host",
        "by_head",
        "by_path_alone",
        "conditions",
        "draws_by_hash",
        "finish_request",
        "finish_response",
        "labels",
        "reads_fields",
        "reply",
        "request_hash",
        "retry",
        "rewrite_path",
        "route",
        "share",
        "virtual_host",
    )

    def __init__(
        self,
        config: RouteConfiguration,
        virtual_host: VirtualHost,
        route: Route,
        share: ClusterWeight | None = None,
        compile_edits: CompileEdits = no_edits,
    ) -> None:
        self.virtual_host: VirtualHost = virtual_host
        self.share = share
        self._shares: Weighted[RouteEntry] | None = None
        self.reply: Reply | None = None
        self._cluster, self._weight_header = "", b""
        self._cluster_header: Lookup | None = None
        self.auto_host = False
        action = route.action
        if not isinstance(action, ClusterAction):
            self.reply = compile_reply(action, route.match)
        else:
            if action.weighted and share is None:
                choices = [
                    (RouteEntry(config, virtual_host, route, one, compile_edits), one.weight) for one in action.weighted
                ]
                self._shares = Weighted(choices)
            elif share is not None:
                action = msgspec.structs.replace(
                    action,
                    cluster=share.name,
                    cluster_header=share.cluster_header,
                    weighted=(),
                    labels=merged(action.labels, share.labels),
                )
                route = msgspec.structs.replace(route, action=action)
            self._cluster = action.cluster
            self._cluster_header = lookup(action.cluster_header) if action.cluster_header else None
            self._weight_header = action.weight_header.encode()
            self.auto_host = action.host_rewrite is not None and action.host_rewrite.kind == "auto"
        self.route: Route = route
        finish = compile_finish(config, virtual_host, route, share, compile_edits)
        self.finish_request, self.finish_response, self.rewrite_path, by_head = finish
        self.reads_fields = isinstance(action, ClusterAction) and _reads_fields(action)
        by_path = isinstance(action, ClusterAction) and action.cluster_header == ":path"
        self.by_head = by_head and not self.auto_host and not by_path
        self._filter_configs: dict[str, tuple[PluginConfig, ...]] = {}
        for level in (config, virtual_host, route, *((share,) if share else ())):
            for name, plugin in level.typed_per_filter_config.items():
                self._filter_configs[name] = (*self._filter_configs.get(name, ()), plugin)
        self.labels: Labels = action.labels if isinstance(action, ClusterAction) else ()
        policy = action.forwarding.retry if isinstance(action, ClusterAction) else None
        self.retry = RetryRules(policy) if policy is not None else None
        self.draws_by_hash = isinstance(action, ClusterAction) and action.drawn_by_hash and share is None
        hashed = action.hash_policies if isinstance(action, ClusterAction) else ()
        self.request_hash = RequestHash(hashed) if hashed else None
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

    def choose(self, request: RequestHead, drawn: int | None = None) -> RouteEntry:
        """What a request that matches gets: this entry, or one of its shares: by the number in the header that the
        route names for this, or by the request's hash, else by the one that was `drawn`, else at random."""
        shares = self._shares
        if shares is None:
            return self
        number = parse_number(request.headers.get(self._weight_header)) if self._weight_header else None
        if self.draws_by_hash and self.request_hash is not None:
            number = self.request_hash.number(subject(request))
        number = drawn if number is None else number
        return shares.pick() if number is None else shares.at(number % shares.total)

    def cluster_name(self, request: RequestHead) -> str:
        """The cluster that `request` goes to; empty if the route answers itself, or the header that names it is not
        there."""
        if self._cluster_header is not None:
            values = self._cluster_header(request)
            return values[0].decode("latin-1") if values else ""
        return self._cluster

    def name_host(self, request: Request, name: str) -> None:
        """`auto_host_rewrite`: the host that was picked is called `name`, or has no name."""
        action = self.route.action
        assert isinstance(action, ClusterAction)
        set_host(request, name.encode(), append=action.append_x_forwarded_host)

    def filter_config(self, name: str) -> PluginConfig | None:
        """`typed_per_filter_config` of the filter instance called `name`, or None. The most specific one wins whole:
        weighted cluster over route over virtual host over route configuration."""
        levels = self._filter_configs.get(name)
        return levels[-1] if levels else None

    def filter_configs(self, name: str) -> tuple[PluginConfig, ...]:
        """Those of all levels, from the route configuration's to the route's or weighted cluster's."""
        return self._filter_configs.get(name, ())
