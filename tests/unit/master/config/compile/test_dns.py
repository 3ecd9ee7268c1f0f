"""How names of DNS clusters are resolved: in the cluster, in its `cluster_type`, in the bootstrap."""

from __future__ import annotations

import pytest

from proxy.config.cluster import Cluster, Dns, DnsEndpoint, DnsLocality
from proxy.config.common import SocketAddress
from proxy.config.dns import MACHINE, DnsResolver
from tests.kit.config import compiled, findings

CLUSTER = "envoy.config.cluster.v3.Cluster"
DNS_CLUSTER = "envoy.extensions.clusters.dns.v3.DnsCluster"
CARES = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
GETADDRINFO = "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig"
ENDPOINTS = (
    "load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address:"
    " {socket_address: {address: web.example, port_value: 80}}}}]}]}"
)
LOCALITIES = (DnsLocality(0, (DnsEndpoint("web.example", 80),)),)
SERVER = "{socket_address: {address: 192.0.2.1, port_value: 5353}}"
SERVERS = (SocketAddress("192.0.2.1", 5353),)


def typed(name: str, body: str) -> str:
    return f'{{name: x, typed_config: {{"@type": type.googleapis.com/{name}, {body}}}}}'


def text(body: str, bootstrap: str = "") -> str:
    return f"{{static_resources: {{clusters: [{{name: c, {ENDPOINTS}, {body}}}]}}, {bootstrap}}}"


def cluster(body: str, bootstrap: str = "") -> Cluster:
    return compiled(text(body, bootstrap)).clusters[0]


def resolver(body: str, bootstrap: str = "") -> DnsResolver:
    found = cluster(f"type: STRICT_DNS, {body}", bootstrap).dns
    assert found is not None
    return found.resolver


def faults(body: str) -> list[tuple[str, str]]:
    return [(fault.field_path, fault.message) for fault in findings(text(body))]


@pytest.mark.field(f"{CLUSTER}.dns_jitter", f"{CLUSTER}.wait_for_warm_on_init")
def test_jitter_and_warming() -> None:
    found = cluster("type: STRICT_DNS, dns_jitter: 1.5s, wait_for_warm_on_init: false").dns
    assert found == Dns(LOCALITIES, jitter=1.5, warms=False)
    assert cluster("type: STRICT_DNS").dns == Dns(LOCALITIES)


@pytest.mark.field(
    f"{CLUSTER}.cluster_type",
    f"{CLUSTER}.CustomClusterType.typed_config",
    *(
        f"{DNS_CLUSTER}.{field}"
        for field in (
            "dns_refresh_rate",
            "dns_failure_refresh_rate",
            "respect_dns_ttl",
            "dns_jitter",
            "typed_dns_resolver_config",
            "dns_lookup_family",
            "RefreshRate.base_interval",
            "RefreshRate.max_interval",
        )
    ),
)
def test_the_cluster_type() -> None:
    body = (
        "dns_refresh_rate: 7s, dns_failure_refresh_rate: {base_interval: 2s, max_interval: 3s}, respect_dns_ttl: true,"
        "dns_jitter: 1s, dns_lookup_family: V6_ONLY, typed_dns_resolver_config: "
        + typed(CARES, f"resolvers: [{SERVER}]")
    )
    found = cluster(f"cluster_type: {typed(DNS_CLUSTER, body)}")
    assert (found.type, found.dns) == (
        "STRICT_DNS",
        Dns(LOCALITIES, "V6_ONLY", 7.0, 2.0, 3.0, respect_ttl=True, jitter=1.0, resolver=DnsResolver(SERVERS)),
    )


@pytest.mark.field(f"{DNS_CLUSTER}.all_addresses_in_single_endpoint")
def test_the_cluster_type_of_one_host() -> None:
    found = cluster(f"cluster_type: {typed(DNS_CLUSTER, 'all_addresses_in_single_endpoint: true')}")
    assert (found.type, found.dns) == ("LOGICAL_DNS", Dns(LOCALITIES))


FAMILIES = ("AUTO", "AUTO", "V4_ONLY", "V6_ONLY", "V4_PREFERRED", "ALL")


@pytest.mark.parametrize(("number", "name"), [*enumerate(FAMILIES)])
def test_the_families_of_the_cluster_type(number: int, name: str) -> None:
    found = cluster(f"cluster_type: {typed(DNS_CLUSTER, f'dns_lookup_family: {number}')}").dns
    assert found is not None
    assert found.lookup_family == name


def test_a_field_beside_the_cluster_type_is_an_error() -> None:
    body = f"dns_refresh_rate: 1s, respect_dns_ttl: true, cluster_type: {typed(DNS_CLUSTER, '')}"
    assert faults(body) == [
        (f"static_resources.clusters[0].{field}", "it has no effect beside cluster_type")
        for field in ("dns_refresh_rate", "respect_dns_ttl")
    ]


def test_a_cluster_type_that_is_none() -> None:
    (fault,) = findings(text(f"cluster_type: {typed(CARES, '')}"))
    assert fault.field_path == "static_resources.clusters[0].cluster_type.typed_config"
    assert DNS_CLUSTER in fault.expected


@pytest.mark.field(
    f"{CLUSTER}.typed_dns_resolver_config",
    *(
        f"{CARES}.{field}"
        for field in (
            "resolvers",
            "use_resolvers_as_fallback",
            "dns_resolver_options",
            "query_timeout_seconds",
            "query_tries",
            "rotate_nameservers",
        )
    ),
    "envoy.config.core.v3.DnsResolverOptions.use_tcp_for_dns_lookups",
    "envoy.config.core.v3.DnsResolverOptions.no_default_search_domain",
)
def test_name_servers() -> None:
    body = (
        f"resolvers: [{SERVER}], use_resolvers_as_fallback: true, query_timeout_seconds: 3, query_tries: 2,"
        "rotate_nameservers: true,"
        "dns_resolver_options: {use_tcp_for_dns_lookups: true, no_default_search_domain: true}"
    )
    assert resolver(f"typed_dns_resolver_config: {typed(CARES, body)}") == DnsResolver(
        SERVERS, fallback=True, tcp=True, search=False, timeout=3, tries=2, rotate=True
    )
    assert resolver(f"typed_dns_resolver_config: {typed(CARES, '')}") == MACHINE


@pytest.mark.field(f"{GETADDRINFO}.num_retries", f"{GETADDRINFO}.num_resolver_threads")
def test_the_c_library() -> None:
    body = typed(GETADDRINFO, "num_retries: 2, num_resolver_threads: 3")
    assert resolver(f"typed_dns_resolver_config: {body}") == DnsResolver(getaddrinfo=True, threads=3, retries=2)
    assert resolver(f"typed_dns_resolver_config: {typed(GETADDRINFO, '')}") == DnsResolver(getaddrinfo=True)


@pytest.mark.field(
    f"{CLUSTER}.dns_resolvers",
    f"{CLUSTER}.use_tcp_for_dns_lookups",
)
def test_the_oldest_fields() -> None:
    assert resolver(f"dns_resolvers: [{SERVER}], use_tcp_for_dns_lookups: true") == DnsResolver(SERVERS, tcp=True)


@pytest.mark.field(
    f"{CLUSTER}.dns_resolution_config",
    "envoy.config.core.v3.DnsResolutionConfig.resolvers",
    "envoy.config.core.v3.DnsResolutionConfig.dns_resolver_options",
)
def test_the_older_field() -> None:
    body = f"{{resolvers: [{SERVER}], dns_resolver_options: {{use_tcp_for_dns_lookups: true}}}}"
    assert resolver(f"dns_resolution_config: {body}") == DnsResolver(SERVERS, tcp=True)


BOOTSTRAP = "envoy.config.bootstrap.v3.Bootstrap"


@pytest.mark.field(
    f"{BOOTSTRAP}.typed_dns_resolver_config",
)
def test_the_proxys_resolver_is_that_of_clusters_that_name_none() -> None:
    bootstrap = f"typed_dns_resolver_config: {typed(CARES, f'resolvers: [{SERVER}]')}"
    assert resolver("", bootstrap) == DnsResolver(SERVERS)
    own = f"typed_dns_resolver_config: {typed(GETADDRINFO, '')}"
    assert resolver(own, bootstrap) == DnsResolver(getaddrinfo=True)


@pytest.mark.field(f"{BOOTSTRAP}.dns_resolution_config", f"{BOOTSTRAP}.use_tcp_for_dns_lookups")
def test_the_proxys_older_fields() -> None:
    assert resolver("", f"dns_resolution_config: {{resolvers: [{SERVER}]}}") == DnsResolver(SERVERS)
    assert resolver("", "use_tcp_for_dns_lookups: true") == DnsResolver(tcp=True)


def test_name_servers_are_numeric_and_on_port_53_by_default() -> None:
    body = typed(CARES, "resolvers: [{socket_address: {address: 192.0.2.1, port_value: 0}}]")
    assert resolver(f"typed_dns_resolver_config: {body}").servers == (SocketAddress("192.0.2.1", 53),)
    place = "static_resources.clusters[0].typed_dns_resolver_config.typed_config.resolvers[0]"
    for address, field, message in (
        ("{pipe: {path: /x}}", "", "a name server has an IP address"),
        (
            "{socket_address: {address: ns.example, port_value: 53}}",
            ".socket_address.address",
            "malformed IP address 'ns.example'",
        ),
    ):
        body = typed(CARES, f"resolvers: [{address}]")
        assert faults(f"type: STRICT_DNS, typed_dns_resolver_config: {body}") == [(place + field, message)]


def test_a_name_has_no_additional_addresses() -> None:
    body = ENDPOINTS.replace(
        "port_value: 80}}}", "port_value: 80}}, additional_addresses: [{address: {pipe: {path: x}}}]}"
    )
    (fault,) = findings(f"static_resources: {{clusters: [{{name: c, type: STRICT_DNS, {body}}}]}}")
    assert fault.message == "the addresses of a name are those that it has in DNS"
