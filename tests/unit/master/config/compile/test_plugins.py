"""Filters: which stand where, and in which order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proxy.config.context import CompileContext
from proxy.filters.http import HTTP_FILTERS, HTTP_ROUTE_CONFIGS
from tests.kit.config import ROUTE_CONFIG, bootstrap, findings, listener, manager, plugin_config, routes

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
HTTP_FILTER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"
ROUTER = "envoy.extensions.filters.http.router.v3.Router"
BUFFER = "envoy.extensions.filters.http.buffer.v3.Buffer"
CHAIN = "static_resources.listeners[0].filter_chains[0].filters"
FIELDS: dict[str, tuple[str, ...]] = {BUFFER: ("max_request_bytes",), f"{BUFFER}PerRoute": ("disabled",)}


class Buffer:
    """A filter that is not terminal, with configuration of its own, in the chain and per route."""

    terminal = False

    class Config(msgspec.Struct, frozen=True):
        size: int = 0
        disabled: bool = False

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        if hasattr(message, "disabled"):
            return cls.Config(disabled=message.disabled)
        if message.max_request_bytes.value == 13:
            context.error(("max_request_bytes",), "unlucky")
        return cls.Config(size=message.max_request_bytes.value)


@pytest.fixture
def buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `Buffer` a filter that we have."""
    monkeypatch.setitem(HTTP_FILTERS, BUFFER, f"{__name__}:Buffer")
    monkeypatch.setitem(HTTP_ROUTE_CONFIGS, f"{BUFFER}PerRoute", f"{__name__}:Buffer")


def http_filters(*filters: tuple[str, str], route_config: str = ROUTE_CONFIG) -> str:
    """A bootstrap with HTTP filters: (name, type and fields)."""
    listed = [f'- {{name: {name}, typed_config: {{"@type": type.googleapis.com/{body}}}}}' for name, body in filters]
    return bootstrap(http_filters="\n".join(listed) or "[]", route_config=route_config)


def faults(text: str) -> list[tuple[str, str]]:
    return [(fault.field_path, fault.message) for fault in findings(text)]


@pytest.mark.field(
    "envoy.config.listener.v3.Filter.name",
    "envoy.config.listener.v3.Filter.typed_config",
    f"{HTTP_FILTER}.name",
    f"{HTTP_FILTER}.typed_config",
    f"{HCM}.http_filters",
)
def test_filters_have_a_name_and_a_configuration() -> None:
    (network,) = listener(bootstrap()).filter_chains[0].filters
    assert (network.name, network.type_url) == ("hcm", HCM)
    (http,) = manager(bootstrap()).http_filters
    assert (http.name, http.type_url) == ("router", ROUTER)


@pytest.mark.usefixtures("buffer")
def test_a_filter_compiles_its_own_configuration() -> None:
    first, last = manager(http_filters(("b", f"{BUFFER}, max_request_bytes: 5"), ("r", ROUTER))).http_filters
    assert plugin_config(first, Buffer.Config) == Buffer.Config(size=5)
    assert (first.name, last.name) == ("b", "r")
    assert faults(http_filters(("b", f"{BUFFER}, max_request_bytes: 13"), ("r", ROUTER))) == [
        (f"{CHAIN}[0].typed_config.http_filters[0].typed_config.max_request_bytes", "unlucky")
    ]


@pytest.mark.usefixtures("buffer")
def test_the_last_filter_and_no_other_is_terminal() -> None:
    text = http_filters(("r", ROUTER), ("b", f"{BUFFER}, max_request_bytes: 5"))
    assert faults(text) == [
        (f"{CHAIN}[0].typed_config.http_filters[0]", "terminal HTTP filter 'r' is not the last of its chain"),
        (f"{CHAIN}[0].typed_config.http_filters[1]", "the last HTTP filter 'b' is not a terminal one"),
    ]


def test_a_connection_manager_without_filters_could_not_answer() -> None:
    assert faults(http_filters()) == [(f"{CHAIN}[0].typed_config.http_filters", "no HTTP filters")]


def test_a_filter_stands_in_a_chain_of_its_kind() -> None:
    (fault,) = findings(http_filters(("h", f"{HCM}, stat_prefix: x, route_config: {{}}"), ("r", ROUTER)))
    assert (fault.kind, fault.message) == ("reference", f"no HTTP filter has the type {HCM}")
    assert ROUTER in fault.expected


def test_a_name_alone_configures_no_filter() -> None:
    text = bootstrap(http_filters="- name: router")
    assert faults(text) == [
        (f"{CHAIN}[0].typed_config.http_filters[0]", "HTTP filter 'router' has no typed_config"),
    ]


@pytest.mark.usefixtures("buffer")
@pytest.mark.parametrize(
    "level",
    [
        pytest.param(level, marks=pytest.mark.field(f"envoy.config.route.v3.{message}.typed_per_filter_config"))
        for level, message in enumerate(["RouteConfiguration", "VirtualHost", "Route"])
    ],
)
def test_routes_configure_filters_at_every_level(level: int) -> None:
    own = f'typed_per_filter_config: {{b: {{"@type": type.googleapis.com/{BUFFER}PerRoute, disabled: true}}}},'
    place = ["", "", ""]
    place[level] = own
    found = routes(
        http_filters(
            ("b", f"{BUFFER}, max_request_bytes: 5"),
            ("r", ROUTER),
            route_config=f'{{{place[0]} name: local, virtual_hosts: [{{{place[1]} name: v, domains: ["*"], routes: ['
            f'{{{place[2]} match: {{prefix: "/"}}, route: {{cluster: origin}}}}]}}]}}',
        )
    )
    host = found.virtual_hosts[0]
    levels = [found.typed_per_filter_config, host.typed_per_filter_config, host.routes[0].typed_per_filter_config]
    assert plugin_config(levels.pop(level)["b"], Buffer.Config) == Buffer.Config(disabled=True)
    assert levels == [{}, {}]
