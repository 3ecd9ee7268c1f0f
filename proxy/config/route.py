"""Compiled routes (`config.route.v3`). Data only; `proxy/route/` turns them into matchers."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import HeaderMatcher, Metadata, PluginConfig, StringMatcher
from proxy.config.forwarding import Forwarding
from proxy.config.hash_policy import HashPolicy
from proxy.config.header_mutation import HeaderMutations
from proxy.config.lb_subsets import Labels
from proxy.config.matching import Matcher
from proxy.config.metadata import FilterStateMatcher, MetadataMatcher


class QueryParameterMatcher(msgspec.Struct, frozen=True, gc=False):
    """`config.route.v3.QueryParameterMatcher`: of the parameter's first value, as it stands in the path, not decoded.

    At most one of `string` and `present` is set; both `None` means "the parameter is present".
    """

    name: str
    string: StringMatcher | None = None
    present: bool | None = None


class RouteMatch(msgspec.Struct, frozen=True, gc=False):
    """`config.route.v3.RouteMatch`. Paths are compared without the query (features §13 rules 3 and 4).

    `regex` must match the whole path and ignores `case_sensitive`, as in Envoy; a URI template is compiled to one.
    `connect`: CONNECT requests, which have no path, and no others. `grpc`: only gRPC requests. `runtime_fraction` is
    (numerator, denominator): the share of requests that the route takes. `tls_presented`, `tls_validated`: whether
    the client has to have shown a certificate, and a valid one. `dynamic_metadata` and `filter_state` are asked of what
    filters have left at the exchange when its route is chosen.
    """

    kind: Literal["prefix", "path", "path_separated_prefix", "regex", "connect"]
    value: str
    case_sensitive: bool = True
    headers: tuple[HeaderMatcher, ...] = ()
    query_parameters: tuple[QueryParameterMatcher, ...] = ()
    grpc: bool = False
    runtime_fraction: tuple[int, int] | None = None
    tls_presented: bool | None = None
    tls_validated: bool | None = None
    dynamic_metadata: tuple[MetadataMatcher, ...] = ()
    filter_state: tuple[FilterStateMatcher, ...] = ()


class PathRewrite(msgspec.Struct, frozen=True, gc=False):
    """`prefix`: `value` in place of what the route's match takes of the path. `regex`: in place of all matches of
    `pattern` in the path, with `\\1` for a group. The query stays (features §13 rules 5 and 6).
    """

    kind: Literal["prefix", "regex"]
    value: str
    pattern: str = ""


class HostRewrite(msgspec.Struct, frozen=True, gc=False):
    """Where the new `host` comes from: `value` itself, the header of that name, the path without query with `value` in
    place of what matches `pattern`, or the `hostname` of the host that was picked (`auto`).
    """

    kind: Literal["literal", "header", "path_regex", "auto"]
    value: str = ""
    pattern: str = ""


class ClusterWeight(msgspec.Struct, frozen=True):
    """`config.route.v3.WeightedCluster.ClusterWeight`: one cluster's share of a route. Exactly one of `name` and
    `cluster_header` is set. `host` is `host_rewrite_literal`. `labels` (`metadata_match`) go over those of the route.
    """

    name: str
    weight: int
    typed_per_filter_config: dict[str, PluginConfig] = {}
    cluster_header: str = ""
    header_mutations: HeaderMutations = HeaderMutations()
    host: str = ""
    labels: Labels = ()


class ClusterAction(msgspec.Struct, frozen=True, gc=False, tag="cluster"):
    """`config.route.v3.RouteAction` that forwards. `timeout` in seconds; 0 means none (default 15, Envoy's).

    Exactly one of `cluster`, `cluster_header` (the header that names the cluster) and `weighted` is not empty; the sum
    of the weights is not 0. `weight_header` is the header whose number draws one of them. `not_found_status` is the
    status where there is no such cluster. `labels` (`metadata_match`) say which of its hosts a request is for,
    `hash_policies` what leads equal requests to the same one, and where `drawn_by_hash` to the same of `weighted`.
    """

    cluster: str
    timeout: float = 15.0
    weighted: tuple[ClusterWeight, ...] = ()
    cluster_header: str = ""
    weight_header: str = ""
    not_found_status: int = 503
    path_rewrite: PathRewrite | None = None
    host_rewrite: HostRewrite | None = None
    append_x_forwarded_host: bool = False
    labels: Labels = ()
    forwarding: Forwarding = Forwarding()
    hash_policies: tuple[HashPolicy, ...] = ()
    drawn_by_hash: bool = False


class DirectResponseAction(msgspec.Struct, frozen=True, gc=False, tag="direct_response"):
    """`config.route.v3.DirectResponseAction`: an answer without an upstream."""

    status: int
    body: bytes = b""


class RedirectAction(msgspec.Struct, frozen=True, gc=False, tag="redirect"):
    """`config.route.v3.RedirectAction`: an answer that sends the client elsewhere. What is empty, or 0, stays as the
    request has it. `path` may have a query of its own, which replaces the request's.
    """

    status: int = 301
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    path_rewrite: PathRewrite | None = None
    strip_query: bool = False


class Route(msgspec.Struct, frozen=True):
    """`config.route.v3.Route`. `typed_per_filter_config` is keyed by the filter's configured name. `stat_prefix`: its
    requests count in `vhost.<virtual host>.route.<stat_prefix>.*`."""

    match: RouteMatch
    action: ClusterAction | DirectResponseAction | RedirectAction
    name: str = ""
    typed_per_filter_config: dict[str, PluginConfig] = {}
    header_mutations: HeaderMutations = HeaderMutations()
    stat_prefix: str = ""
    metadata: Metadata = {}


class VirtualCluster(msgspec.Struct, frozen=True, gc=False):
    """`config.route.v3.VirtualCluster`: a name for the stats of the requests that meet all of `headers`."""

    name: str
    headers: tuple[HeaderMatcher, ...]


class VirtualHost(msgspec.Struct, frozen=True):
    """`config.route.v3.VirtualHost`. Domains keep their spelling; comparison is case-insensitive. `matcher` leads to
    some of the routes, which are tried in its order; without it, all of them are.
    """

    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...]
    typed_per_filter_config: dict[str, PluginConfig] = {}
    header_mutations: HeaderMutations = HeaderMutations()
    require_tls: Literal["NONE", "EXTERNAL_ONLY", "ALL"] = "NONE"
    request_attempt_count: bool = False
    response_attempt_count: bool = False
    virtual_clusters: tuple[VirtualCluster, ...] = ()
    matcher: Matcher | None = None
    metadata: Metadata = {}


class RouteConfiguration(msgspec.Struct, frozen=True):
    """`config.route.v3.RouteConfiguration`. `most_specific_wins`: of header mutations, those of the route are the last.
    `virtual_host_header` is the header that names the virtual host, in place of `host`."""

    name: str
    virtual_hosts: tuple[VirtualHost, ...]
    typed_per_filter_config: dict[str, PluginConfig] = {}
    header_mutations: HeaderMutations = HeaderMutations()
    most_specific_wins: bool = False
    ignore_port: bool = False
    ignore_path_parameters: bool = False
    virtual_host_header: str = ""
