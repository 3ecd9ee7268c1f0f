"""Clusters whose hosts are looked up: STRICT_DNS, LOGICAL_DNS, and `extensions.clusters.dns.v3.DnsCluster`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from master.config.compile import endpoints
from master.config.compile.dns_resolver import compile_resolver
from proxy.config.cluster import Dns
from proxy.config.dns import LookupFamily

if TYPE_CHECKING:
    from master.config.compile.context import Context

DNS_CLUSTER = "envoy.extensions.clusters.dns.v3.DnsCluster"

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.cluster.v3.Cluster": (
        "dns_lookup_family",
        "dns_refresh_rate",
        "dns_failure_refresh_rate",
        "respect_dns_ttl",
        "dns_jitter",
        "wait_for_warm_on_init",
    ),
    "envoy.config.cluster.v3.Cluster.RefreshRate": ("base_interval", "max_interval"),
    DNS_CLUSTER: (
        "dns_refresh_rate",
        "dns_failure_refresh_rate",
        "respect_dns_ttl",
        "dns_jitter",
        "typed_dns_resolver_config",
        "dns_lookup_family",
        "all_addresses_in_single_endpoint",
    ),
    f"{DNS_CLUSTER}.RefreshRate": ("base_interval", "max_interval"),
}

LOOKUP_FAMILIES: dict[int, LookupFamily] = {0: "AUTO", 1: "V4_ONLY", 2: "V6_ONLY", 3: "V4_PREFERRED", 4: "ALL"}
"""`Cluster.DnsLookupFamily`. The loader refuses other numbers (`defined_only`)."""

COMMON_FAMILIES: dict[int, LookupFamily] = {
    0: "AUTO",
    1: "AUTO",
    2: "V4_ONLY",
    3: "V6_ONLY",
    4: "V4_PREFERRED",
    5: "ALL",
}
"""`extensions.clusters.common.dns.v3.DnsLookupFamily`, which also knows "unspecified"."""

DEFAULT_DNS_REFRESH = 5.0


def compile_dns(cluster: Any, *, logical: bool, context: Context) -> Dns:
    """Of a cluster whose `type` is STRICT_DNS or LOGICAL_DNS."""
    return _dns(cluster, cluster, LOOKUP_FAMILIES, logical, context, context)


def compile_dns_cluster(cluster: Any, message: Any, context: Context) -> Dns:
    """Of a cluster whose `cluster_type` is `message`."""
    for field in ("dns_refresh_rate", "dns_failure_refresh_rate", "dns_jitter", "dns_resolution_config"):
        if cluster.HasField(field):
            context.error((field,), "it has no effect beside cluster_type", "the same in cluster_type.typed_config")
    for field in ("respect_dns_ttl", "dns_lookup_family", "dns_resolvers", "use_tcp_for_dns_lookups"):
        if getattr(cluster, field):
            context.error((field,), "it has no effect beside cluster_type", "the same in cluster_type.typed_config")
    logical = message.all_addresses_in_single_endpoint
    return _dns(cluster, message, COMMON_FAMILIES, logical, context, context.at("cluster_type", "typed_config"))


def _dns(
    cluster: Any, message: Any, families: Mapping[int, LookupFamily], logical: bool, context: Context, here: Context
) -> Dns:
    """Failures are retried at the refresh rate unless `dns_failure_refresh_rate` says otherwise. `message`, at `here`,
    says how; the names are those of `cluster`, at `context`.
    """
    names = context.at("load_assignment")
    localities = endpoints.compile_names(cluster.load_assignment, names)
    if logical and [len(place.lb_endpoints) for place in cluster.load_assignment.endpoints] != [1]:
        names.error((), "a LOGICAL_DNS cluster resolves one name", "one locality with one endpoint")
    refresh = DEFAULT_DNS_REFRESH
    if message.HasField("dns_refresh_rate"):
        refresh = here.duration(message.dns_refresh_rate, "dns_refresh_rate")
    base = longest = refresh
    if message.HasField("dns_failure_refresh_rate"):
        base, longest = failure_refresh(message.dns_failure_refresh_rate, here.at("dns_failure_refresh_rate"))
    return Dns(
        localities=localities,
        lookup_family=families.get(message.dns_lookup_family, "AUTO"),
        refresh_rate=refresh,
        failure_refresh_base=base,
        failure_refresh_max=longest,
        respect_ttl=message.respect_dns_ttl,
        jitter=here.duration(message.dns_jitter, "dns_jitter") if message.HasField("dns_jitter") else 0.0,
        resolver=compile_resolver(message, here, context.dns_resolver),
        warms=cluster.wait_for_warm_on_init.value if cluster.HasField("wait_for_warm_on_init") else True,
    )


def failure_refresh(message: Any, context: Context) -> tuple[float, float]:
    """`max_interval` is ten times `base_interval` by default (`Cluster.RefreshRate`)."""
    base = context.duration(message.base_interval, "base_interval")
    if not message.HasField("max_interval"):
        return base, 10 * base
    longest = context.duration(message.max_interval, "max_interval")
    if longest < base:
        context.error(("max_interval",), "max_interval is less than base_interval", f"at least {base:g}s")
    return base, longest
