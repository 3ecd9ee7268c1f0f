"""Listeners: their fields, and what may not stand beside each other."""

from __future__ import annotations

import pytest

from proxy.config.common import PipeAddress, SocketAddress
from tests.kit.config import bootstrap, compiled, findings, listener

ADDRESS = "address: {socket_address: {address: 127.0.0.1, port_value: %d}}"


def listeners(*bodies: str) -> str:
    return "static_resources: {listeners: [" + ", ".join(f"{{{body}}}" for body in bodies) + "]}"


def faults(text: str) -> list[tuple[str, str]]:
    return [(fault.field_path, fault.message) for fault in findings(text)]


@pytest.mark.field(
    "envoy.config.bootstrap.v3.Bootstrap.static_resources",
    "envoy.config.bootstrap.v3.Bootstrap.StaticResources.listeners",
    "envoy.config.listener.v3.Listener.name",
    "envoy.config.listener.v3.Listener.address",
    "envoy.config.listener.v3.Listener.stat_prefix",
    "envoy.config.listener.v3.Listener.enable_reuse_port",
    "envoy.config.listener.v3.Listener.tcp_backlog_size",
    "envoy.config.listener.v3.Listener.per_connection_buffer_limit_bytes",
)
def test_the_fields_of_a_listener() -> None:
    found = listener(
        listeners(
            f"name: main, {ADDRESS % 80}, stat_prefix: front, enable_reuse_port: false, tcp_backlog_size: 7,"
            "per_connection_buffer_limit_bytes: 32768, filter_chains: [{}]"
        )
    )
    assert (found.name, found.addresses) == ("main", (SocketAddress("127.0.0.1", 80),))
    assert found.stat_prefix == "front"
    assert found.enable_reuse_port is False
    assert found.backlog == 7
    assert found.per_connection_buffer_limit_bytes == 32768


def test_envoys_defaults() -> None:
    found = listener(listeners("address: {socket_address: {address: '::1', port_value: 80}}, filter_chains: [{}]"))
    assert found.name == "[::1]:80"
    assert found.stat_prefix == "[__1]_80"
    assert found.enable_reuse_port is True
    assert found.backlog == 0
    assert found.per_connection_buffer_limit_bytes == 1024 * 1024


@pytest.mark.field(
    "envoy.config.listener.v3.Listener.additional_addresses", "envoy.config.listener.v3.AdditionalAddress.address"
)
def test_additional_addresses_follow_the_first() -> None:
    found = listener(
        listeners(
            f"name: main, {ADDRESS % 80}, filter_chains: [{{}}],"
            f"additional_addresses: [{{{ADDRESS % 81}}}, {{address: {{pipe: {{path: /run/x}}}}}}]"
        )
    )
    assert found.addresses == (SocketAddress("127.0.0.1", 80), SocketAddress("127.0.0.1", 81), PipeAddress("/run/x"))


@pytest.mark.field(
    "envoy.config.listener.v3.Listener.filter_chains",
    "envoy.config.listener.v3.FilterChain.name",
    "envoy.config.listener.v3.FilterChain.filters",
)
def test_a_filter_chain_has_a_name_and_filters() -> None:
    text = bootstrap().replace("- filters:\n", "- name: only\n      filters:\n")
    (chain,) = listener(text).filter_chains
    assert chain.name == "only"
    assert [plugin.name for plugin in chain.filters] == ["hcm"]


def test_a_backlog_fits_listen() -> None:
    body = f"name: main, {ADDRESS % 80}, filter_chains: [{{}}], tcp_backlog_size: "
    assert listener(listeners(body + "4294967295")).backlog == 2**31 - 1
    assert listener(listeners(body + "0")).backlog == 1


def test_a_buffer_without_limit_is_refused() -> None:
    text = listeners(f"name: main, {ADDRESS % 80}, filter_chains: [{{}}], per_connection_buffer_limit_bytes: 0")
    assert faults(text) == [
        ("static_resources.listeners[0].per_connection_buffer_limit_bytes", "buffers without a limit are not supported")
    ]


def test_a_name_belongs_to_one_listener() -> None:
    text = listeners(
        f"name: main, {ADDRESS % 80}, filter_chains: [{{}}]", f"name: main, {ADDRESS % 81}, filter_chains: [{{}}]"
    )
    assert faults(text) == [("static_resources.listeners[1].name", "listener 'main' exists already")]


def test_an_address_belongs_to_one_listener_and_port_0_is_always_another() -> None:
    text = listeners(
        f"name: a, {ADDRESS % 80}, filter_chains: [{{}}]", f"name: b, {ADDRESS % 80}, filter_chains: [{{}}]"
    )
    assert faults(text) == [
        ("static_resources.listeners[1].address", "listener 'a' has the address 127.0.0.1:80 already")
    ]
    assert len(compiled(text.replace("port_value: 80", "port_value: 0")).listeners) == 2
    again = listeners(f"name: a, {ADDRESS % 80}, filter_chains: [{{}}], additional_addresses: [{{{ADDRESS % 80}}}]")
    assert [path for path, _ in faults(again)] == ["static_resources.listeners[0].additional_addresses[0]"]


def test_a_listener_needs_an_address_and_a_filter_chain() -> None:
    assert faults(listeners("name: main")) == [
        ("static_resources.listeners[0]", "no filter chains"),
        ("static_resources.listeners[0].address", "no address"),
    ]


def test_two_filter_chains_without_a_match_are_one_too_many() -> None:
    text = listeners(f"name: main, {ADDRESS % 80}, filter_chains: [{{name: a}}, {{name: b}}]")
    assert faults(text) == [
        (
            "static_resources.listeners[0].filter_chains[1]",
            "same matching rules as filter_chains[0]: no connection can reach it",
        )
    ]
