"""The dynamic forward proxy: its cluster, its filter, and the DNS cache that both name."""

from __future__ import annotations

import json

import pytest

from proxy.config.cluster import RequestNames
from proxy.config.common import SocketAddress
from proxy.config.dns import DnsResolver
from proxy.config.dns_cache import DnsCache
from tests.kit.certificates import Authority
from tests.kit.config import compiled, findings

COMMON = "envoy.extensions.common.dynamic_forward_proxy.v3"
CACHE = f"{COMMON}.DnsCacheConfig"
CLUSTER = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"
TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
SERVER = "resolvers: [{socket_address: {address: 192.0.2.1, port_value: 53}}]"
RESOLVER = DnsResolver((SocketAddress("192.0.2.1", 53),))


def typed(name: str, body: str) -> str:
    return f'{{name: x, typed_config: {{"@type": type.googleapis.com/{name}, {body}}}}}'


def cluster(cache: str, more: str = "", *, name: str = "c", options: str = "") -> str:
    config = typed(CLUSTER, f"dns_cache_config: {{name: cache, {cache}}}, {options}")
    return f"{{name: {name}, lb_policy: CLUSTER_PROVIDED, cluster_type: {config}, {more}}}"


def text(*clusters: str) -> str:
    return f"static_resources: {{clusters: [{', '.join(clusters)}]}}"


def cache(body: str) -> DnsCache | None:
    found = compiled(text(cluster(body))).clusters[0]
    assert found.type == "DYNAMIC_FORWARD_PROXY"
    return found.dns_cache


@pytest.mark.field(
    f"{CLUSTER}.dns_cache_config",
    *(
        f"{CACHE}.{field}"
        for field in (
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
        )
    ),
    f"{COMMON}.DnsCacheCircuitBreakers.max_pending_requests",
)
def test_the_fields() -> None:
    cares = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
    found = cache(
        "dns_lookup_family: V4_ONLY, dns_refresh_rate: 30s, dns_min_refresh_rate: 7s, host_ttl: 20s, max_hosts: 3,"
        "dns_failure_refresh_rate: {base_interval: 2s, max_interval: 3s}, disable_dns_refresh_on_failure: true,"
        "dns_cache_circuit_breaker: {max_pending_requests: 4}, dns_query_timeout: 6s,"
        "preresolve_hostnames: [{address: web.example, port_value: 80}],"
        f"typed_dns_resolver_config: {typed(cares, SERVER)}"
    )
    assert found == DnsCache(
        "cache",
        lookup_family="V4_ONLY",
        refresh_rate=30.0,
        min_refresh_rate=7.0,
        failure_base=2.0,
        failure_max=3.0,
        refresh_on_failure=False,
        host_ttl=20.0,
        max_hosts=3,
        max_pending=4,
        query_timeout=6.0,
        resolver=RESOLVER,
        preresolve=(("web.example", 80),),
    )


@pytest.mark.field(f"{CACHE}.dns_resolution_config", f"{CACHE}.use_tcp_for_dns_lookups")
def test_the_older_fields_and_defaults() -> None:
    assert cache("") == DnsCache("cache")
    assert cache("dns_refresh_rate: 9s") == DnsCache("cache", refresh_rate=9.0, failure_base=9.0, failure_max=9.0)
    assert cache(f"dns_resolution_config: {{{SERVER}}}") == DnsCache("cache", resolver=RESOLVER)
    assert cache("use_tcp_for_dns_lookups: true") == DnsCache("cache", resolver=DnsResolver(tcp=True))


def test_one_name_is_one_cache() -> None:
    both = cluster("max_hosts: 3"), cluster("max_hosts: 3", name="d")
    assert not findings(text(*both))
    (fault,) = findings(text(both[0], cluster("max_hosts: 4", name="d")))
    assert fault.field_path == "static_resources.clusters[1].cluster_type.typed_config.dns_cache_config"
    assert fault.message == "DNS cache 'cache' is another one elsewhere"


@pytest.mark.parametrize("field", ["load_assignment: {cluster_name: c}", "outlier_detection: {}"])
def test_it_knows_no_hosts(field: str) -> None:
    (fault,) = findings(text(cluster("", field)))
    assert fault.message == "a dynamic forward proxy knows no hosts beforehand"


@pytest.mark.field(f"{CLUSTER}.allow_insecure_cluster_options")
def test_over_tls_a_host_is_who_was_asked_for() -> None:
    root = json.dumps(Authority().pem)
    trust = f"common_tls_context: {{validation_context: {{trusted_ca: {{inline_string: {root}}}}}}}"
    secure = f"transport_socket: {typed(TLS, trust)}"
    assert compiled(text(cluster("", secure))).clusters[0].request_names == RequestNames(sni=True, sans=True)
    assert compiled(text(cluster(""))).clusters[0].request_names is None
    protocol = f'{{"@type": type.googleapis.com/{OPTIONS}, explicit_http_config: {{http_protocol_options: {{}}}}}}'
    options = f"typed_extension_protocol_options: {{{OPTIONS}: {protocol}}}"
    (fault,) = findings(text(cluster("", f"{secure}, {options}")))
    assert fault.field_path == "static_resources.clusters[0].typed_extension_protocol_options"
    allowed = cluster("", f"{secure}, {options}", options="allow_insecure_cluster_options: true")
    assert compiled(text(allowed)).clusters[0].request_names is None
