"""Clusters and their endpoints."""

from __future__ import annotations

import pytest

from proxy.config.cluster import Cluster, Dns, DnsEndpoint, DnsLocality, Host, LocalityHosts
from proxy.config.common import PipeAddress, SocketAddress
from tests.kit.config import compiled, findings

CLUSTER = "envoy.config.cluster.v3.Cluster"
ENDPOINT = "endpoint: {address: {socket_address: {address: %s, port_value: %d}}}"


def clusters(*bodies: str) -> str:
    return "static_resources: {clusters: [" + ", ".join(f"{{{body}}}" for body in bodies) + "]}"


def assignment(*endpoints: str) -> str:
    listed = ", ".join(f"{{{endpoint}}}" for endpoint in endpoints)
    return f"load_assignment: {{cluster_name: x, endpoints: [{{lb_endpoints: [{listed}]}}]}}"


def cluster(body: str) -> Cluster:
    return compiled(clusters(body)).clusters[0]


def dns(body: str) -> Dns:
    found = cluster(f"name: origin, type: STRICT_DNS, {body}").dns
    assert found is not None
    return found


def hosts(text: str, name: str = "origin") -> list[Host]:
    return [host for locality in compiled(text).endpoints.clusters[name].localities for host in locality.hosts]


def faults(text: str) -> list[tuple[str, str]]:
    return [(fault.field_path, fault.message) for fault in findings(text)]


@pytest.mark.field(
    "envoy.config.bootstrap.v3.Bootstrap.StaticResources.clusters",
    f"{CLUSTER}.name",
    f"{CLUSTER}.alt_stat_name",
    f"{CLUSTER}.connect_timeout",
    f"{CLUSTER}.per_connection_buffer_limit_bytes",
)
def test_the_fields_of_a_cluster() -> None:
    found = cluster(
        "name: origin, alt_stat_name: other, connect_timeout: 0.25s, per_connection_buffer_limit_bytes: 32768"
    )
    assert (found.name, found.stat_name) == ("origin", "other")
    assert found.connect_timeout == 0.25
    assert found.per_connection_buffer_limit_bytes == 32768


def test_envoys_defaults() -> None:
    assert cluster("name: a:b") == Cluster(name="a:b", type="STATIC")
    assert cluster("name: a:b").stat_name == "a_b"
    assert cluster("name: a").connect_timeout == 5.0


@pytest.mark.field(
    f"{CLUSTER}.load_assignment",
    "envoy.config.endpoint.v3.ClusterLoadAssignment.endpoints",
    "envoy.config.endpoint.v3.LocalityLbEndpoints.lb_endpoints",
    "envoy.config.endpoint.v3.LbEndpoint.endpoint",
    "envoy.config.endpoint.v3.LbEndpoint.load_balancing_weight",
    "envoy.config.endpoint.v3.Endpoint.address",
    "envoy.config.endpoint.v3.Endpoint.hostname",
)
def test_hosts_of_a_static_cluster() -> None:
    text = clusters(
        "name: origin, "
        + assignment(
            "load_balancing_weight: 3, endpoint: {hostname: one.example, address: {pipe: {path: /run/x}}}",
            ENDPOINT % ("192.0.2.1", 80),
        )
    )
    assert hosts(text) == [
        Host(0, PipeAddress("/run/x"), "one.example", 3),
        Host(1, SocketAddress("192.0.2.1", 80)),
    ]


@pytest.mark.field(
    "envoy.config.endpoint.v3.LocalityLbEndpoints.locality",
    "envoy.config.core.v3.Locality.region",
    "envoy.config.core.v3.Locality.zone",
    "envoy.config.core.v3.Locality.sub_zone",
)
def test_hosts_know_their_locality() -> None:
    text = clusters(
        "name: origin, load_assignment: {cluster_name: x, endpoints: [{locality: {region: r, zone: z, sub_zone: s},"
        f"lb_endpoints: [{{{ENDPOINT % ('192.0.2.1', 80)}}}]}}]}}"
    )
    assert compiled(text).endpoints.clusters["origin"].localities == (
        LocalityHosts(0, (Host(0, SocketAddress("192.0.2.1", 80)),), "r", "z", "s"),
    )


def test_slots_number_all_clusters_and_all_hosts() -> None:
    one, two = ENDPOINT % ("192.0.2.1", 1), ENDPOINT % ("192.0.2.1", 2)
    text = clusters(f"name: a, {assignment(one, two)}", f"name: b, {assignment(one)}")
    assert [found.slot for found in compiled(text).endpoints.clusters.values()] == [0, 1]
    assert [host.slot for name in "ab" for host in hosts(text, name)] == [0, 1, 2]


@pytest.mark.field(f"{CLUSTER}.type=STRICT_DNS")
def test_strict_dns_resolves_each_name() -> None:
    numeric = ENDPOINT % ("192.0.2.1", 81)
    body = "name: origin, type: STRICT_DNS, load_assignment: {cluster_name: x, endpoints: [{locality: {zone: z}," + (
        f"lb_endpoints: [{{{ENDPOINT % ('a.example', 80)}, load_balancing_weight: 2}}, {{{numeric}}}]}}]}}"
    )
    found = cluster(body)
    assert (found.type, found.dns) == (
        "STRICT_DNS",
        Dns((DnsLocality(0, (DnsEndpoint("a.example", 80, "", 2), DnsEndpoint("192.0.2.1", 81)), "", "z"),)),
    )
    assert hosts(clusters(body)) == []


@pytest.mark.field(f"{CLUSTER}.type=LOGICAL_DNS")
def test_logical_dns_resolves_one_name() -> None:
    found = cluster(f"name: origin, type: LOGICAL_DNS, {assignment(ENDPOINT % ('a.example', 80))}")
    assert found.type == "LOGICAL_DNS"
    assert found.dns is not None
    assert found.dns.localities == (DnsLocality(0, (DnsEndpoint("a.example", 80),)),)


@pytest.mark.field(
    f"{CLUSTER}.dns_lookup_family",
    f"{CLUSTER}.dns_refresh_rate",
    f"{CLUSTER}.dns_failure_refresh_rate",
    f"{CLUSTER}.respect_dns_ttl",
    f"{CLUSTER}.RefreshRate.base_interval",
    f"{CLUSTER}.RefreshRate.max_interval",
)
def test_how_names_are_resolved() -> None:
    body = (
        "dns_lookup_family: V4_PREFERRED, dns_refresh_rate: 7s, respect_dns_ttl: true,"
        "dns_failure_refresh_rate: {base_interval: 2s, max_interval: 3s}"
    )
    assert dns(body) == Dns(
        localities=(),
        lookup_family="V4_PREFERRED",
        refresh_rate=7.0,
        failure_refresh_base=2.0,
        failure_refresh_max=3.0,
        respect_ttl=True,
    )


def test_failures_are_retried_at_the_refresh_rate_or_up_to_ten_times_the_base_interval() -> None:
    found = dns("dns_refresh_rate: 7s")
    assert (found.failure_refresh_base, found.failure_refresh_max) == (7.0, 7.0)
    found = dns("dns_failure_refresh_rate: {base_interval: 2s}")
    assert (found.failure_refresh_base, found.failure_refresh_max) == (2.0, 20.0)
    text = clusters("name: origin, type: STRICT_DNS, dns_failure_refresh_rate: {base_interval: 2s, max_interval: 1s}")
    assert [path for path, _ in faults(text)] == ["static_resources.clusters[0].dns_failure_refresh_rate.max_interval"]


def test_a_name_belongs_to_one_cluster() -> None:
    assert faults(clusters("name: a", "name: b", "name: a")) == [
        ("static_resources.clusters[2].name", "cluster 'a' exists already")
    ]


def test_a_static_cluster_takes_no_names() -> None:
    text = clusters(f"name: origin, {assignment(ENDPOINT % ('localhost', 80))}")
    (fault,) = findings(text)
    assert fault.field_path == (
        "static_resources.clusters[0].load_assignment.endpoints[0].lb_endpoints[0].endpoint.address"
        ".socket_address.address"
    )
    assert fault.message == "malformed IP address 'localhost'"
    assert "STRICT_DNS" in fault.expected


@pytest.mark.parametrize("kind", ["STATIC", "STRICT_DNS"])
def test_an_endpoint_needs_an_address(kind: str) -> None:
    (fault,) = findings(clusters(f"name: origin, type: {kind}, {assignment('endpoint: {}')}"))
    assert fault.field_path.endswith("lb_endpoints[0].endpoint.address")


@pytest.mark.parametrize("kind", ["STRICT_DNS", "LOGICAL_DNS"])
def test_a_dns_cluster_takes_no_unix_socket(kind: str) -> None:
    text = clusters(f"name: origin, type: {kind}, {assignment('endpoint: {address: {pipe: {path: /run/x}}}')}")
    assert [fault.message for fault in findings(text)] == ["a DNS cluster resolves names"]


@pytest.mark.parametrize("body", ["", assignment(), assignment(ENDPOINT % ("a", 1), ENDPOINT % ("b", 1))])
def test_logical_dns_has_one_endpoint(body: str) -> None:
    text = clusters(f"name: origin, type: LOGICAL_DNS, {body}")
    assert faults(text) == [
        ("static_resources.clusters[0].load_assignment", "a LOGICAL_DNS cluster resolves one name"),
    ]
