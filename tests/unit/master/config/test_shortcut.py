"""`--listen` and `--upstream`."""

from __future__ import annotations

import pytest

from master.config.shortcut import bootstrap
from proxy.config.common import SocketAddress
from tests.kit.config import compiled


def test_a_numeric_upstream_is_a_static_host() -> None:
    config = compiled(bootstrap("[::]:8080", "127.0.0.1:9000"))
    assert config.listeners[0].addresses == (SocketAddress("::", 8080),)
    assert config.clusters[0].type == "STATIC"
    assert config.endpoints.clusters["upstream"].localities[0].hosts[0].address == SocketAddress("127.0.0.1", 9000)


def test_a_name_is_resolved() -> None:
    (cluster,) = compiled(bootstrap("127.0.0.1:0", "origin.example:80")).clusters
    assert cluster.type == "STRICT_DNS"
    assert cluster.dns is not None
    (endpoint,) = cluster.dns.localities[0].endpoints
    assert (endpoint.name, endpoint.port) == ("origin.example", 80)


@pytest.mark.parametrize("address", ["8080", ":8080", "a:", "a:b", "::1:80", "a:65536", "a:-1", "a:٣", ""])
def test_anything_but_host_and_port_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|65535"):
        bootstrap(address, "127.0.0.1:1")
    with pytest.raises(ValueError, match=r"host:port|65535"):
        bootstrap("127.0.0.1:1", address)


def test_a_host_cannot_add_yaml() -> None:
    text = bootstrap("127.0.0.1:0", '[a"}, x: {y: "z]:80')
    (cluster,) = compiled(text).clusters
    assert cluster.dns is not None
    assert cluster.dns.localities[0].endpoints[0].name == 'a"}, x: {y: "z'
