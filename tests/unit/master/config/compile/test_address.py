"""Addresses of listeners, hosts and the admin server."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.config.compile.address import canonical
from proxy.config.common import Address, PipeAddress, SocketAddress
from tests.kit.config import findings, listener

LISTENER = "static_resources: {listeners: [{name: main, address: %s, filter_chains: [{}]}]}"


def address(text: str) -> Address:
    return listener(LISTENER % text).addresses[0]


def faults(text: str) -> list[tuple[str, str, str]]:
    return [(fault.field_path, fault.kind, fault.message) for fault in findings(LISTENER % text)]


@pytest.mark.field(
    "envoy.config.core.v3.Address.socket_address",
    "envoy.config.core.v3.SocketAddress.address",
    "envoy.config.core.v3.SocketAddress.port_value",
)
def test_a_numeric_address_and_a_port() -> None:
    assert address("{socket_address: {address: 192.0.2.1, port_value: 8080}}") == SocketAddress("192.0.2.1", 8080)


@pytest.mark.parametrize(
    ("written", "host"),
    [("::", "::"), ("0:0::1", "::1"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("FE80::A", "fe80::a")],
)
def test_ipv6_addresses_are_canonical(written: str, host: str) -> None:
    assert address(f'{{socket_address: {{address: "{written}", port_value: 1}}}}') == SocketAddress(host, 1)


@given(st.text("0123456789abcdef:.%", max_size=20) | st.ip_addresses().map(str))
def test_what_is_numeric_is_what_the_standard_library_parses(host: str) -> None:
    try:
        expected = ipaddress.ip_address(host)
    except ValueError:
        assert canonical(host) is None
    else:
        found = canonical(host)
        assert found is not None
        assert ipaddress.ip_address(found) == expected


@pytest.mark.parametrize("host", ["localhost", "127.1", "127.0.0.01", "[::1]", "192.0.2.256", "1.2.3.4:80"])
def test_anything_else_is_malformed(host: str) -> None:
    path = "static_resources.listeners[0].address.socket_address.address"
    assert faults(f'{{socket_address: {{address: "{host}", port_value: 1}}}}') == [
        (path, "address", f"malformed IP address {host!r}")
    ]


@pytest.mark.field(
    "envoy.config.core.v3.Address.pipe", "envoy.config.core.v3.Pipe.path", "envoy.config.core.v3.Pipe.mode"
)
def test_a_unix_socket_has_a_path_and_a_mode() -> None:
    assert address("{pipe: {path: /run/x.sock, mode: 384}}") == PipeAddress("/run/x.sock", 0o600)


def test_a_path_of_107_bytes_fits_a_unix_socket_and_one_more_does_not() -> None:
    assert address(f"{{pipe: {{path: /{'x' * 106}}}}}") == PipeAddress("/" + "x" * 106)
    assert faults(f"{{pipe: {{path: /{'x' * 107}}}}}") == [
        ("static_resources.listeners[0].address.pipe.path", "address", "path is too long for a Unix socket")
    ]
    assert faults(f"{{pipe: {{path: /{'é' * 54}}}}}")


def test_an_abstract_unix_socket_has_no_mode() -> None:
    assert address('{pipe: {path: "@name"}}') == PipeAddress("@name")
    assert [fault[0] for fault in faults('{pipe: {path: "@name", mode: 384}}')] == [
        "static_resources.listeners[0].address.pipe.mode"
    ]


def test_a_path_with_a_nul_byte_is_refused() -> None:
    assert [fault[2] for fault in faults('{pipe: {path: "/a\\0b"}}')] == ["path with a NUL byte"]
