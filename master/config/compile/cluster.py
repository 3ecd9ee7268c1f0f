"""Clusters (`config.cluster.v3`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from master.config.compile import aggregate, dns, dns_cache, endpoints
from master.config.compile.aggregate import compile_aggregate
from master.config.compile.circuit_breakers import compile_breakers
from master.config.compile.health_check import compile_health_check
from master.config.compile.lb_policies import compile_balancing
from master.config.compile.original_dst import compile_original_dst
from master.config.compile.outlier import compile_outlier_detection
from master.config.compile.proxy_protocol import Transport, compile_transport
from master.config.compile.socket_matches import compile_socket_matches
from master.config.compile.upstream_http import compile_http_options
from master.config.compile.upstream_socket import compile_happy_eyeballs, compile_upstream_socket
from master.config.walk import unpack
from proxy.config.cluster import Cluster, ClusterEndpoints, ClusterType, Dns, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.config.dns_cache import DnsCache
from proxy.config.original_dst import OriginalDst
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
        "cluster_type",
        "connect_timeout",
        "load_assignment",
        "per_connection_buffer_limit_bytes",
        "lb_subset_config",
        "transport_socket",
        "connection_pool_per_downstream_connection",
        "preconnect_policy",
        "close_connections_on_host_health_failure",
        "ignore_health_on_host_removal",
    ),
    "envoy.config.cluster.v3.Cluster.CommonLbConfig": ("ignore_new_hosts_until_first_hc",),
    "envoy.config.cluster.v3.Cluster.PreconnectPolicy": ("per_upstream_preconnect_ratio",),
    "envoy.config.cluster.v3.Cluster.CustomClusterType": ("typed_config",),
}


FROM_REQUESTS: tuple[ClusterType, ...] = ("ORIGINAL_DST", "DYNAMIC_FORWARD_PROXY")
"""Clusters whose hosts requests name."""


class Discovery(NamedTuple):
    """Where a cluster's hosts come from."""

    type: ClusterType = "STATIC"
    dns: Dns | None = None
    original_dst: OriginalDst | None = None
    members: tuple[str, ...] = ()
    dns_cache: DnsCache | None = None

    @property
    def balances(self) -> bool:
        """Whether it finds the host of a request itself (`lb_policy: CLUSTER_PROVIDED`)."""
        return self.type in (*FROM_REQUESTS, "AGGREGATE")


def _dns_cluster(cluster: Any, message: Any, context: Context) -> Discovery:
    kind: ClusterType = "LOGICAL_DNS" if message.all_addresses_in_single_endpoint else "STRICT_DNS"
    return Discovery(kind, dns.compile_dns_cluster(cluster, message, context))


def _aggregate(cluster: Any, message: Any, context: Context) -> Discovery:
    return Discovery("AGGREGATE", members=compile_aggregate(cluster, message, context))


def _forward_proxy(cluster: Any, message: Any, context: Context) -> Discovery:
    return Discovery("DYNAMIC_FORWARD_PROXY", dns_cache=dns_cache.compile_forward_proxy(cluster, message, context))


TYPES: dict[int, ClusterType] = {0: "STATIC", 1: "STRICT_DNS", 2: "LOGICAL_DNS", 4: "ORIGINAL_DST"}
"""`Cluster.DiscoveryType`, those that are ours."""

CLUSTER_TYPES: dict[str, Callable[[Any, Any, Context], Discovery]] = {
    aggregate.AGGREGATE: _aggregate,
    dns.DNS_CLUSTER: _dns_cluster,
    dns_cache.CLUSTER: _forward_proxy,
}
"""What a `cluster_type` of this type is, by the cluster, the message, and the cluster's context."""

EVERYWHERE = SocketAddress("0.0.0.0", 0)
"""Stands for all hosts of a cluster whose hosts come from requests: it has their row."""

DEFAULT_CONNECT_TIMEOUT = 5.0


def compile_clusters(
    messages: Any, manager: Any, context: Context
) -> tuple[tuple[Cluster, ...], dict[str, ClusterEndpoints]]:
    """The clusters, and the hosts of those that need no resolver; `context` stands for the list, `manager` is the
    `ClusterManager`.

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
        cluster = _cluster(message, manager, here)
        localities: tuple[LocalityHosts, ...] = ()
        if _is_static(message):
            localities = endpoints.compile_hosts(message.load_assignment, slots, here.at("load_assignment"))
        elif cluster.type in FROM_REQUESTS:
            localities = (LocalityHosts(0, (Host(next(slots), EVERYWHERE),)),)
        clusters[message.name] = cluster
        hosts[message.name] = ClusterEndpoints(
            message.name, 1, localities, index, *endpoints.compile_policy(message.load_assignment.policy)
        )
    aggregate.check_members(clusters, [context.at(index) for index in range(len(messages))])
    return tuple(clusters.values()), hosts


def _is_static(message: Any) -> bool:
    return message.WhichOneof("cluster_discovery_type") != "cluster_type" and TYPES.get(message.type) == "STATIC"


def _discovery(message: Any, context: Context) -> Discovery:
    """A type that is not ours, already reported, becomes a STATIC cluster."""
    if message.WhichOneof("cluster_discovery_type") == "cluster_type":
        custom, here = unpack(message.cluster_type.typed_config), context.at("cluster_type", "typed_config")
        name = "" if custom is None else custom.DESCRIPTOR.full_name
        if name in CLUSTER_TYPES:
            return CLUSTER_TYPES[name](message, custom, context)
        if custom is not None and here.path not in context.unsupported:
            expected = f"one of {', '.join(sorted(CLUSTER_TYPES))}"
            here.error((), f"no cluster type has the type {name}", expected, kind="reference")
        return Discovery()
    kind = TYPES.get(message.type, "STATIC")
    if kind in ("STRICT_DNS", "LOGICAL_DNS"):
        return Discovery(kind, dns.compile_dns(message, logical=kind == "LOGICAL_DNS", context=context))
    if kind == "ORIGINAL_DST":
        return Discovery(kind, original_dst=compile_original_dst(message, context))
    return Discovery(kind)


def _check_policy(message: Any, discovery: Discovery, context: Context) -> None:
    if discovery.balances != (message.lb_policy == message.CLUSTER_PROVIDED) and not context.incomplete():
        expected = "CLUSTER_PROVIDED" if discovery.balances else "a policy"
        context.error(("lb_policy",), f"not for a cluster of type {discovery.type}", expected)


def _cluster(message: Any, manager: Any, context: Context) -> Cluster:
    discovery = _discovery(message, context)
    _check_policy(message, discovery, context)
    connect_timeout = DEFAULT_CONNECT_TIMEOUT
    if message.HasField("connect_timeout"):
        connect_timeout = context.duration(message.connect_timeout, "connect_timeout")
    transport, http_options = Transport(), compile_http_options(message, context)
    if message.HasField("transport_socket"):
        transport = compile_transport(message.transport_socket, context.at("transport_socket"))
    matches = compile_socket_matches(message.transport_socket_matches, context.at("transport_socket_matches"))
    if discovery.dns_cache is not None and transport.tls is not None:
        http_options = dns_cache.with_names(message, http_options, context)
    names = http_options.get("request_names")
    if names is not None and names.sans:
        _check_validates(transport.tls, context.at("transport_socket"))
        for index, match in enumerate(matches):
            _check_validates(match.tls, context.at("transport_socket_matches", index, "transport_socket"))
    balancing = compile_balancing(message, context)
    breaker, high_breaker = compile_breakers(message.circuit_breakers, context.at("circuit_breakers"))
    return Cluster(
        name=message.name,
        type=discovery.type,
        alt_stat_name=message.alt_stat_name,
        connect_timeout=connect_timeout,
        per_connection_buffer_limit_bytes=context.buffer_limit(message),
        breaker=breaker,
        high_breaker=high_breaker,
        dns=discovery.dns,
        original_dst=discovery.original_dst,
        members=discovery.members,
        dns_cache=discovery.dns_cache,
        outlier=compile_outlier_detection(message, context, event_log_path=manager.outlier_detection.event_log_path),
        lb=balancing.lb,
        subsets=balancing.subsets,
        tls=transport.tls,
        proxy_protocol=transport.proxy_protocol,
        socket_matches=matches,
        socket=compile_upstream_socket(message, context),
        happy_eyeballs=compile_happy_eyeballs(message),
        preconnect_ratio=message.preconnect_policy.per_upstream_preconnect_ratio.value or 1.0,
        pool_per_downstream_connection=(
            message.connection_pool_per_downstream_connection
            or transport.proxy_protocol != ""  # whose connection it is, they are told
            or any(match.proxy_protocol for match in matches)
        ),
        health_check=compile_health_check(
            message.health_checks, context.at("health_checks"), http2=http_options.get("protocol") == "http2"
        ),
        close_connections_on_host_health_failure=message.close_connections_on_host_health_failure,
        ignore_health_on_host_removal=message.ignore_health_on_host_removal,
        ignore_new_hosts_until_first_hc=message.common_lb_config.ignore_new_hosts_until_first_hc,
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
