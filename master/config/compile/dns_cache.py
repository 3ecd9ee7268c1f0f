"""DNS caches of the dynamic forward proxy, and clusters that go by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from master.config.compile.dns import LOOKUP_FAMILIES, failure_refresh
from master.config.compile.dns_resolver import compile_resolver
from master.config.walk import unpack
from proxy.config.cluster import RequestNames
from proxy.config.dns_cache import DnsCache

if TYPE_CHECKING:
    from master.config.compile.context import Context

CLUSTER = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"
_CACHE = "envoy.extensions.common.dynamic_forward_proxy.v3"

FIELDS: dict[str, tuple[str, ...]] = {
    CLUSTER: ("dns_cache_config", "allow_insecure_cluster_options"),
    f"{_CACHE}.DnsCacheConfig": (
        "name",
        "dns_lookup_family",
        "dns_refresh_rate",
        "dns_min_refresh_rate",
        "dns_failure_refresh_rate",
        "disable_dns_refresh_on_failure",
        "host_ttl",
        "max_hosts",
        "dns_cache_circuit_breaker",
        "dns_query_timeout",
        "preresolve_hostnames",
        "typed_dns_resolver_config",
        "dns_resolution_config",
        "use_tcp_for_dns_lookups",
    ),
    f"{_CACHE}.DnsCacheCircuitBreakers": ("max_pending_requests",),
}

_DURATIONS = (
    ("dns_refresh_rate", 60.0),
    ("dns_min_refresh_rate", 5.0),
    ("host_ttl", 300.0),
    ("dns_query_timeout", 5.0),
)


def compile_dns_cache(message: Any, context: Context) -> DnsCache:
    """Whoever names a cache says the same of it."""
    refresh, least, ttl, timeout = (
        context.duration(getattr(message, field), field) if message.HasField(field) else default
        for field, default in _DURATIONS
    )
    base = longest = refresh
    if message.HasField("dns_failure_refresh_rate"):
        base, longest = failure_refresh(message.dns_failure_refresh_rate, context.at("dns_failure_refresh_rate"))
    breaker = message.dns_cache_circuit_breaker
    found = DnsCache(
        name=message.name,
        lookup_family=LOOKUP_FAMILIES.get(message.dns_lookup_family, "AUTO"),
        refresh_rate=refresh,
        min_refresh_rate=least,
        failure_base=base,
        failure_max=longest,
        refresh_on_failure=not message.disable_dns_refresh_on_failure,
        host_ttl=ttl,
        max_hosts=message.max_hosts.value if message.HasField("max_hosts") else 1024,
        max_pending=breaker.max_pending_requests.value if breaker.HasField("max_pending_requests") else 1024,
        query_timeout=timeout,
        resolver=compile_resolver(message, context, context.dns_resolver),
        preresolve=tuple((address.address, address.port_value) for address in message.preresolve_hostnames),
    )
    if context.dns_caches.setdefault(found.name, found) != found:
        context.error((), f"DNS cache {found.name!r} is another one elsewhere", "the same settings, or another name")
    return found


def with_names(cluster: Any, options: dict[str, Any], context: Context) -> dict[str, Any]:
    """`options` (of a cluster with TLS) with the names of requests: who is spoken to is who was meant. That is so
    unless protocol options say otherwise, which has to be allowed.
    """
    if not cluster.HasField("upstream_http_protocol_options") and not cluster.typed_extension_protocol_options:
        return {**options, "request_names": RequestNames(sni=True, sans=True)}
    names: RequestNames | None = options.get("request_names")
    message: Any = unpack(cluster.cluster_type.typed_config)
    if not message.allow_insecure_cluster_options and not (names is not None and names.sni and names.sans):
        context.error(
            ("typed_extension_protocol_options",),
            "a host that nobody has verified could be any other",
            "auto_sni and auto_san_validation, or allow_insecure_cluster_options",
        )
    return options


def compile_forward_proxy(cluster: Any, message: Any, context: Context) -> DnsCache:
    """Of a cluster whose `cluster_type` is `message`: its hosts are those of requests."""
    for field in ("load_assignment", "lb_subset_config", "outlier_detection"):
        if cluster.HasField(field):
            context.error((field,), "a dynamic forward proxy knows no hosts beforehand", f"no {field}")
    if cluster.health_checks:
        context.error(("health_checks",), "a dynamic forward proxy knows no hosts beforehand", "no health_checks")
    return compile_dns_cache(message.dns_cache_config, context.at("cluster_type", "typed_config", "dns_cache_config"))
