"""`stateful_session` as it is configured; what it does is in `tests/parity/test_stateful_session.py`."""

from __future__ import annotations

import msgspec
import pytest

from proxy.config.hash_policy import CookieMaker
from proxy.filters.http.stateful_session import SessionConfig, StatefulSessionPerRoute
from proxy.http.session_states.cookie import CookieState
from proxy.http.session_states.header import HeaderState
from tests.kit.config import HTTP_FILTERS, bootstrap, findings, manager, plugin_config, routes

PACKAGE = "envoy.extensions.filters.http.stateful_session.v3"
STATES = "envoy.extensions.http.stateful_session"
FILTER = f"{PACKAGE}.StatefulSession"
PER_ROUTE = f"{PACKAGE}.StatefulSessionPerRoute"
COOKIE = "envoy.type.http.v3.Cookie"


def text(state: str, more: str = "", per_route: str = "") -> str:
    body = f'"@type": type.googleapis.com/{FILTER}, session_state: {{name: s, typed_config: {{{state}}}}}{more}'
    config = f'typed_per_filter_config: {{st: {{"@type": type.googleapis.com/{PER_ROUTE}, {per_route}}}}}'
    route = f'match: {{prefix: "/"}}, route: {{cluster: origin}}{f", {config}" if per_route else ""}'
    return bootstrap(
        http_filters=f"- {{name: st, typed_config: {{{body}}}}}{HTTP_FILTERS}",
        route_config=f'{{name: local, virtual_hosts: [{{name: all, domains: ["*"], routes: [{{{route}}}]}}]}}',
    )


def cookie(fields: str) -> str:
    return f'"@type": type.googleapis.com/{STATES}.cookie.v3.CookieBasedSessionState, cookie: {{{fields}}}'


HEADER = f'"@type": type.googleapis.com/{STATES}.header.v3.HeaderBasedSessionState, name: X-Session'


def compiled(configuration: str) -> SessionConfig:
    plugin = manager(configuration).http_filters[0]
    return msgspec.convert(plugin_config(plugin, SessionConfig), SessionConfig)


@pytest.mark.field(
    f"{FILTER}.session_state",
    f"{FILTER}.strict",
    f"{FILTER}.stat_prefix",
    f"{STATES}.cookie.v3.CookieBasedSessionState.cookie",
    f"{COOKIE}.name",
    f"{COOKIE}.ttl",
    f"{COOKIE}.path",
    f"{COOKIE}.attributes",
    "envoy.type.http.v3.CookieAttribute.name",
    "envoy.type.http.v3.CookieAttribute.value",
)
def test_a_cookie() -> None:
    attributes = "attributes: [{name: SameSite, value: Lax}]"
    config = compiled(text(cookie(f"name: k, ttl: 9.5s, path: /p, {attributes}"), ", strict: true, stat_prefix: s"))
    assert (config.strict, config.stat_prefix) == (True, "s")
    assert config.state is not None
    assert msgspec.msgpack.decode(config.state.config, type=CookieState.Config) == CookieState.Config(
        "k", CookieMaker(9, "/p", (("SameSite", "Lax"),))
    )


@pytest.mark.field(f"{STATES}.header.v3.HeaderBasedSessionState.name")
def test_a_header() -> None:
    config = compiled(text(HEADER))
    assert config.state is not None
    assert msgspec.msgpack.decode(config.state.config, type=HeaderState.Config) == HeaderState.Config("x-session")


def of_route(per_route: str) -> StatefulSessionPerRoute.Config:
    plugin = routes(text(HEADER, per_route=per_route)).virtual_hosts[0].routes[0].typed_per_filter_config["st"]
    return msgspec.msgpack.decode(plugin.config, type=StatefulSessionPerRoute.Config)


@pytest.mark.field(f"{PER_ROUTE}.stateful_session")
def test_sessions_of_a_route() -> None:
    found = of_route(f"stateful_session: {{strict: true, session_state: {{name: s, typed_config: {{{HEADER}}}}}}}")
    assert found.session is not None
    assert found.session.strict


@pytest.mark.field(f"{PER_ROUTE}.disabled")
def test_a_route_without_sessions() -> None:
    assert of_route("disabled: true").session is None


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        (text(cookie('name: "a;b"')), "'a;b' cannot stand in a cookie"),
        (text(HEADER.replace("X-Session", '"a b"')), "'a b' is not a header name"),
        (
            text(HEADER, per_route="stateful_session: {stat_prefix: s}"),
            "sessions of routes do not count",
        ),
    ],
)
def test_what_cannot_be_meant(configuration: str, message: str) -> None:
    assert [one.message for one in findings(configuration)] == [message]
