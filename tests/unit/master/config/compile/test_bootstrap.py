"""The top of the configuration: node, admin, and the source for `/config_dump`."""

from __future__ import annotations

import json

import pytest

from proxy.config.bootstrap import Node, decode, encode
from proxy.config.common import SocketAddress
from tests.kit.config import bootstrap, compiled, findings

NODE = "node: {id: one, cluster: edge, locality: {region: r, zone: z, sub_zone: s}, metadata: {color: blue}}"


@pytest.mark.field(
    "envoy.config.bootstrap.v3.Bootstrap.node",
    "envoy.config.core.v3.Node.id",
    "envoy.config.core.v3.Node.cluster",
    "envoy.config.core.v3.Node.locality",
)
def test_the_node_says_who_this_is() -> None:
    assert compiled(NODE).node == Node("one", "edge", "r", "z", "s")


@pytest.mark.field("envoy.config.core.v3.Node.metadata")
def test_the_source_keeps_the_metadata() -> None:
    assert json.loads(compiled(NODE).source)["node"]["metadata"] == {"color": "blue"}


@pytest.mark.field("envoy.config.bootstrap.v3.Bootstrap.admin", "envoy.config.bootstrap.v3.Admin.address")
def test_the_admin_server_has_an_address() -> None:
    text = "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}"
    assert compiled(text).admin_address == SocketAddress("127.0.0.1", 9901)
    assert compiled("admin: {}").admin_address is None


def test_an_admin_address_is_numeric() -> None:
    text = "admin: {address: {socket_address: {address: localhost, port_value: 9901}}}"
    assert [fault.field_path for fault in findings(text)] == ["admin.address.socket_address.address"]


def test_it_travels_as_message_pack() -> None:
    config = compiled(bootstrap())
    assert encode(decode(encode(config))) == encode(config)


def test_all_faults_are_found_at_once() -> None:
    text = bootstrap().replace("cluster: origin", "cluster: orign").replace("address: 127.0.0.1", "address: here")
    assert [fault.message for fault in findings(text)] == [
        "unknown cluster 'orign'",
        "malformed IP address 'here'",
        "malformed IP address 'here'",
    ]
