"""Compiled routes (`config.route.v3`). Data only; `proxy/route/` turns them into matchers."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import HeaderMatcher, PluginConfig, StringMatcher
from proxy.config.forwarding import Forwarding


class QueryParameterMatcher(msgspec.Struct, frozen=True, gc=False):
    """`config.route.v3.QueryParameterMatcher`: of the parameter's first value, as it stands in the path, not decoded.

    At most one of `string` and `present` is set; both `None` means "the parameter is present".
    """

    name: str
    string: StringMatcher | None = None
    present: bool | None = None


class RouteMatch(msgspec.Struct, frozen=True, gc=False):
    """`config.route.v3.RouteMatch`. Paths are compared without the query (features §13 rules 3 and 4).

    `regex` must match the whole path and ignores `case_sensitive`, as in Envoy. `connect`: CONNECT requests, which have
    no path, and no others. `grpc`: only gRPC requests. `runtime_fraction` is (numerator, denominator): the share of
    requests that the route takes.
    """

    kind: Literal["prefix", "path", "path_separated_prefix", "regex", "connect"]
    value: str
    case_sensitive: bool = True
    headers: tuple[HeaderMatcher, ...] = ()
    query_parameters: tuple[QueryParameterMatcher, ...] = ()
    grpc: bool = False
    runtime_fraction: tuple[int, int] | None = None


class ClusterWeight(msgspec.Struct, frozen=True):
    """`config.route.v3.WeightedCluster.ClusterWeight`: one cluster's share of a route."""

    name: str
    weight: int
    typed_per_filter_config: dict[str, PluginConfig] = {}


class ClusterAction(msgspec.Struct, frozen=True, gc=False, tag="cluster"):
    """`config.route.v3.RouteAction` that forwards. `timeout` in seconds; 0 means none (default 15, Envoy's).

    Exactly one of `cluster` and `weighted` is not empty; the sum of the weights is not 0.
    """

    cluster: str
    timeout: float = 15.0
    weighted: tuple[ClusterWeight, ...] = ()
    forwarding: Forwarding = Forwarding()


class DirectResponseAction(msgspec.Struct, frozen=True, gc=False, tag="direct_response"):
    """`config.route.v3.DirectResponseAction`: an answer without an upstream."""

    status: int
    body: bytes = b""


class Route(msgspec.Struct, frozen=True):
    """`config.route.v3.Route`. `typed_per_filter_config` is keyed by the filter's configured name."""

    match: RouteMatch
    action: ClusterAction | DirectResponseAction
    name: str = ""
    typed_per_filter_config: dict[str, PluginConfig] = {}


class VirtualHost(msgspec.Struct, frozen=True):
    """`config.route.v3.VirtualHost`. Domains keep their spelling; comparison is case-insensitive."""

    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...]
    typed_per_filter_config: dict[str, PluginConfig] = {}


class RouteConfiguration(msgspec.Struct, frozen=True):
    """`config.route.v3.RouteConfiguration`."""

    name: str
    virtual_hosts: tuple[VirtualHost, ...]
    typed_per_filter_config: dict[str, PluginConfig] = {}
