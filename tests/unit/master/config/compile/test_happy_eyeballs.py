"""Hosts at several addresses."""

from __future__ import annotations

import pytest

from proxy.config.common import SocketAddress
from proxy.config.upstream_socket import HappyEyeballs
from tests.kit.config import compiled, findings

OPTIONS = "envoy.config.cluster.v3.UpstreamConnectionOptions"
SOCKET, OTHER, PIPE = (
    "address: {socket_address: {address: 192.0.2.1, port_value: 80}}",
    "address: {socket_address: {address: '2001:db8::1', port_value: 81}}",
    "address: {pipe: {path: /run/x}}",
)


def text(endpoint: str, more: str = "") -> str:
    assignment = f"{{cluster_name: x, endpoints: [{{lb_endpoints: [{{endpoint: {{{endpoint}}}}}]}}]}}"
    return f"static_resources: {{clusters: [{{name: c, load_assignment: {assignment}, {more}}}]}}"


@pytest.mark.field(
    "envoy.config.endpoint.v3.Endpoint.additional_addresses",
    "envoy.config.endpoint.v3.Endpoint.AdditionalAddress.address",
)
def test_additional_addresses() -> None:
    endpoints = compiled(text(f"{SOCKET}, additional_addresses: [{{{OTHER}}}]")).endpoints.clusters["c"]
    ((host,),) = (locality.hosts for locality in endpoints.localities)
    assert host.additional == (SocketAddress("2001:db8::1", 81),)


@pytest.mark.parametrize(("first", "other"), [(SOCKET, PIPE), (PIPE, SOCKET), (PIPE, PIPE)])
def test_unix_sockets_are_nobodys_other_addresses(first: str, other: str) -> None:
    (fault,) = findings(text(f"{first}, additional_addresses: [{{{other}}}]"))
    assert fault.field_path.endswith("endpoint.additional_addresses[0].address")
    assert fault.message == "a Unix socket is no host's other address"


@pytest.mark.field(
    f"{OPTIONS}.happy_eyeballs_config",
    f"{OPTIONS}.HappyEyeballsConfig.first_address_family_version",
    f"{OPTIONS}.HappyEyeballsConfig.first_address_family_count",
)
def test_the_order() -> None:
    more = (
        "upstream_connection_options: {happy_eyeballs_config:"
        " {first_address_family_version: V4, first_address_family_count: 2}}"
    )
    assert compiled(text(SOCKET, more)).clusters[0].happy_eyeballs == HappyEyeballs(4, 2)
    assert compiled(text(SOCKET)).clusters[0].happy_eyeballs == HappyEyeballs(0, 1)
