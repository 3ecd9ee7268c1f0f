"""What stands around the routes of a virtual host: CONNECT, TLS, what is looked at of host and path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.route import ClusterAction, HeaderMatcher, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.route.entry import RouteEntry
from proxy.route.table import RouteTable, VirtualHostRoutes
from tests.unit.route.requests import request
from tests.unit.route.test_index import HEADER, LITERALS, PATHS, REGEXES, scan, with_conditions

CONNECT = st.builds(RouteMatch, st.just("connect"), st.just(""), headers=st.lists(HEADER, max_size=1).map(tuple))


@given(
    st.lists(with_conditions(LITERALS | REGEXES) | CONNECT, max_size=12),
    PATHS | st.just(""),
    st.sampled_from(["1", "2"]),
    st.sampled_from(["", "?q"]),
)
def test_equal_to_a_linear_scan(matches: list[RouteMatch], path: str, header: str, query: str) -> None:
    routes = tuple(Route(match, ClusterAction("c"), str(place)) for place, match in enumerate(matches))
    host = VirtualHost("v", ("*",), routes)
    entries = [RouteEntry(RouteConfiguration("rc", (host,)), host, route) for route in routes]
    head = request(path + query if path else "", headers=(("x", header),))
    kinds = {"connect"} if not path else {"prefix", "path", "path_separated_prefix", "regex"}
    specified = scan([entry for entry in entries if entry.route.match.kind in kinds], path.encode(), head)
    assert VirtualHostRoutes(entries).find(head.path, head) is specified


def table(*hosts: VirtualHost, **config: object) -> RouteTable:
    return RouteTable(RouteConfiguration("rc", hosts, **config))  # type: ignore[arg-type]


def host(name: str, *domains: str, **fields: object) -> VirtualHost:
    routes = (Route(RouteMatch("prefix", "/"), ClusterAction(name)),)
    return VirtualHost(name, domains or (name,), routes, **fields)  # type: ignore[arg-type]


def chosen(found: RouteTable, **head: object) -> str:
    entry = found.match(request(**head))  # type: ignore[arg-type]
    return "" if entry is None else entry.cluster_name(request()) or "redirect"


@pytest.mark.parametrize(
    ("kind", "headers", "expected"),
    [
        ("ALL", (), "redirect"),
        ("ALL", (("x-forwarded-proto", "https"),), "v"),
        ("ALL", (("x-envoy-internal", "true"),), "redirect"),
        ("EXTERNAL_ONLY", (), "redirect"),
        ("EXTERNAL_ONLY", (("x-envoy-internal", "true"),), "v"),
        ("NONE", (), "v"),
    ],
)
def test_require_tls(kind: str, headers: tuple[tuple[str, str], ...], expected: str) -> None:
    found = table(host("v", "*", require_tls=kind))
    assert chosen(found, headers=headers) == expected
    assert found.by_authority_and_path is (kind == "NONE")


def test_a_redirect_to_tls_keeps_the_url() -> None:
    asked = request("/a?b", authority="v:80")
    entry = table(host("v", "*", require_tls="ALL")).match(asked)
    assert entry is not None
    assert entry.reply is not None
    assert entry.reply(asked, True).headers == ((b"location", b"https://v:80/a?b"),)
    assert entry.finish_response is None


def test_ports_may_be_ignored() -> None:
    for authority in ("v:81", "v:", "v:x", "v"):
        assert chosen(table(host("v"), ignore_port=True), authority=authority) == "v"
    assert chosen(table(host("v")), authority="v:81") == ""
    assert chosen(table(host("[::1]"), ignore_port=True), authority="[::1]") == "[::1]"


def test_a_header_may_name_the_virtual_host() -> None:
    found = table(host("v"), host("w"), virtual_host_header="x-v")
    assert chosen(found, authority="v", headers=(("x-v", "W"),)) == "w"
    assert chosen(found, authority="v") == ""
    assert not found.by_authority_and_path


def test_path_parameters_may_be_ignored() -> None:
    exact = VirtualHost("v", ("*",), (Route(RouteMatch("path", "/a/b"), ClusterAction("c")),))
    for path in ("/a/b;x=1", "/a;x/b?;y", "/a;/b;"):
        assert chosen(table(exact, ignore_path_parameters=True), path=path) == "c"
        assert chosen(table(exact), path=path) == ""


def test_connect_has_routes_of_its_own() -> None:
    routes = (
        Route(RouteMatch("prefix", "/"), ClusterAction("path")),
        Route(RouteMatch("connect", "", headers=(HeaderMatcher("x"),)), ClusterAction("marked")),
        Route(RouteMatch("connect", ""), ClusterAction("connect")),
    )
    found = table(VirtualHost("v", ("*",), routes))
    assert chosen(found, path="", method="CONNECT") == "connect"
    assert chosen(found, path="", method="CONNECT", headers=(("x", ""),)) == "marked"
    assert chosen(found, path="/") == "path"
