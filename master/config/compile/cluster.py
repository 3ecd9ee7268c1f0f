"""Clusters (`config.cluster.v3`)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal

from master.config.compile import endpoints
from master.config.compile.circuit_breakers import compile_breakers
from master.config.compile.lb_policies import compile_balancing
from master.config.compile.socket_matches import compile_socket_matches
from master.config.compile.tls import compile_upstream
from master.config.compile.upstream_http import compile_http_options
from master.config.compile.upstream_socket import compile_upstream_socket
from proxy.config.cluster import Cluster, ClusterEndpoints, Dns, LocalityHosts
from proxy.config.tls import UpstreamTls

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.cluster.v3.Cluster": (
        "name",
        "alt_stat_name",
        "type=STATIC",
        "type=STRICT_DNS",
        "type=LOGICAL_DNS",
        "connect_timeout",
        "load_assignment",
        "dns_lookup_family",
        "dns_refresh_rate",
        "dns_failure_refresh_rate",
        "respect_dns_ttl",
        "per_connection_buffer_limit_bytes",
        "lb_subset_config",
        "transport_socket",
        "connection_pool_per_downstream_connection",
        "preconnect_policy",
    ),
    "envoy.config.cluster.v3.Cluster.PreconnectPolicy": ("per_upstream_preconnect_ratio",),
    "envoy.config.cluster.v3.Cluster.RefreshRate": ("base_interval", "max_interval"),
}

TYPES: dict[int, Literal["STATIC", "STRICT_DNS", "LOGICAL_DNS"]] = {0: "STATIC", 1: "STRICT_DNS", 2: "LOGICAL_DNS"}
"""`Cluster.DiscoveryType`, those that are ours."""

LOOKUP_FAMILIES: dict[int, Literal["AUTO", "V4_ONLY", "V6_ONLY", "V4_PREFERRED", "ALL"]] = {
    0: "AUTO",
    1: "V4_ONLY",
    2: "V6_ONLY",
    3: "V4_PREFERRED",
    4: "ALL",
}
"""`Cluster.DnsLookupFamily`. The loader refuses other numbers (`defined_only`)."""

DEFAULT_CONNECT_TIMEOUT = 5.0
DEFAULT_DNS_REFRESH = 5.0


def compile_clusters(messages: Any, context: Context) -> tuple[tuple[Cluster, ...], dict[str, ClusterEndpoints]]:
    """The clusters, and the hosts of those that need no resolver; `context` stands for the list.

    A cluster's slot is its place in the list; hosts are numbered through all clusters. Where a configuration follows
    another one, the controller gives slots anew (`master/dns/slots.py`).
    """
    clusters: dict[str, Cluster] = {}
    hosts: dict[str, ClusterEndpoints] = {}
    slots = itertools.count()
    for index, message in enumerate(messages):
        here = context.at(index)
        if message.name in clusters:
            here.error(("name",), f"cluster {message.name!r} exists already", "a name of its own", kind="duplicate")
        cluster = _cluster(message, here)
        localities: tuple[LocalityHosts, ...] = ()
        if _type(message) == "STATIC":
            localities = endpoints.compile_hosts(message.load_assignment, slots, here.at("load_assignment"))
        clusters[message.name] = cluster
        hosts[message.name] = ClusterEndpoints(
            message.name, 1, localities, index, *endpoints.compile_policy(message.load_assignment.policy)
        )
    return tuple(clusters.values()), hosts


def _type(message: Any) -> str:
    """The discovery type; "" for one that is not ours, which is reported as unsupported."""
    if message.WhichOneof("cluster_discovery_type") == "cluster_type":
        return ""
    return TYPES.get(message.type, "")


def _cluster(message: Any, context: Context) -> Cluster:
    """A discovery type that is not ours, already reported, becomes a STATIC cluster without hosts."""
    kind = _type(message)
    dns = _dns(message, kind, context) if kind in ("STRICT_DNS", "LOGICAL_DNS") else None
    connect_timeout = DEFAULT_CONNECT_TIMEOUT
    if message.HasField("connect_timeout"):
        connect_timeout = context.duration(message.connect_timeout, "connect_timeout")
    tls, http_options = None, compile_http_options(message, context)
    if message.HasField("transport_socket"):
        tls = compile_upstream(message.transport_socket, context.at("transport_socket"))
    matches = compile_socket_matches(message.transport_socket_matches, context.at("transport_socket_matches"))
    names = http_options.get("request_names")
    if names is not None and names.sans:
        _check_validates(tls, context.at("transport_socket"))
        for index, match in enumerate(matches):
            _check_validates(match.tls, context.at("transport_socket_matches", index, "transport_socket"))
    balancing = compile_balancing(message, context)
    breaker, high_breaker = compile_breakers(message.circuit_breakers, context.at("circuit_breakers"))
    return Cluster(
        name=message.name,
        type="STATIC" if dns is None else "LOGICAL_DNS" if kind == "LOGICAL_DNS" else "STRICT_DNS",
        alt_stat_name=message.alt_stat_name,
        connect_timeout=connect_timeout,
        per_connection_buffer_limit_bytes=context.buffer_limit(message),
        breaker=breaker,
        high_breaker=high_breaker,
        dns=dns,
        lb=balancing.lb,
        subsets=balancing.subsets,
        tls=tls,
        socket_matches=matches,
        socket=compile_upstream_socket(message, context),
        preconnect_ratio=message.preconnect_policy.per_upstream_preconnect_ratio.value or 1.0,
        pool_per_downstream_connection=message.connection_pool_per_downstream_connection,
        **http_options,
    )


def _check_validates(tls: UpstreamTls | None, context: Context) -> None:
    """Where requests say what a certificate has to be, the transport socket must have something to begin with."""
    if tls is not None and (tls.validation is None or not tls.validation.asks):
        context.error(
            ("typed_config", "common_tls_context"),
            "auto_san_validation has nothing to begin with: no certificate would do",
            "a validation_context with trusted_ca",
        )


def _dns(message: Any, kind: str, context: Context) -> Dns:
    """Failures are retried at the refresh rate unless `dns_failure_refresh_rate` says otherwise."""
    here = context.at("load_assignment")
    localities = endpoints.compile_names(message.load_assignment, here)
    if kind == "LOGICAL_DNS" and [len(place.lb_endpoints) for place in message.load_assignment.endpoints] != [1]:
        here.error((), "a LOGICAL_DNS cluster resolves one name", "one locality with one endpoint")
    refresh = DEFAULT_DNS_REFRESH
    if message.HasField("dns_refresh_rate"):
        refresh = context.duration(message.dns_refresh_rate, "dns_refresh_rate")
    base = longest = refresh
    if message.HasField("dns_failure_refresh_rate"):
        base, longest = _failure_refresh(message.dns_failure_refresh_rate, context.at("dns_failure_refresh_rate"))
    return Dns(
        localities=localities,
        lookup_family=LOOKUP_FAMILIES.get(message.dns_lookup_family, "AUTO"),
        refresh_rate=refresh,
        failure_refresh_base=base,
        failure_refresh_max=longest,
        respect_ttl=message.respect_dns_ttl,
    )


def _failure_refresh(message: Any, context: Context) -> tuple[float, float]:
    """`max_interval` is ten times `base_interval` by default (`Cluster.RefreshRate`)."""
    base = context.duration(message.base_interval, "base_interval")
    if not message.HasField("max_interval"):
        return base, 10 * base
    longest = context.duration(message.max_interval, "max_interval")
    if longest < base:
        context.error(("max_interval",), "max_interval is less than base_interval", f"at least {base:g}s")
    return base, longest
