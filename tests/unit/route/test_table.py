"""The route table."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.common import HeaderMatcher, PluginConfig, StringMatcher
from proxy.config.route import ClusterAction, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.route.table import RouteTable
from tests.unit.route.requests import request


def plugin(value: str) -> PluginConfig:
    return PluginConfig("f", "type", msgspec.Raw(msgspec.msgpack.encode(value)))


def route(name: str, match: RouteMatch, **per_filter: PluginConfig) -> Route:
    return Route(match, ClusterAction("c"), name, typed_per_filter_config=per_filter)


def table(*routes: Route, domains: tuple[str, ...] = ("*",)) -> RouteTable:
    return RouteTable(RouteConfiguration("rc", (VirtualHost("v", domains, routes),)))


def test_the_first_full_match_wins() -> None:
    routes = table(
        route("header", RouteMatch("prefix", "/", headers=(HeaderMatcher("x-a"), HeaderMatcher("x-b")))),
        route("short", RouteMatch("prefix", "/a")),
        route("long", RouteMatch("prefix", "/a/b")),
    )
    both = request("/a/b", headers=(("x-a", ""), ("x-b", "")))
    one = request("/a/b", headers=(("x-a", ""),))
    found = [routes.match(head) for head in (both, one, request("/c"))]
    assert [entry and entry.route.name for entry in found] == ["header", "short", None]


def test_the_query_is_no_part_of_the_path() -> None:
    entry = table(route("r", RouteMatch("path", "/a"))).match(request("/a?b=1"))
    assert entry is not None
    assert entry.route.name == "r"
    assert entry.virtual_host.name == "v"


def test_no_virtual_host_or_no_path_is_no_route() -> None:
    routes = table(route("r", RouteMatch("prefix", "/")), domains=("a.com",))
    assert routes.match(request(authority="b.com")) is None
    assert routes.match(request("", authority="a.com", method="CONNECT")) is None
    assert routes.match(request(authority="a.com")) is not None


def test_a_virtual_host_without_a_match_does_not_fall_back_to_another() -> None:
    config = RouteConfiguration(
        "rc",
        (
            VirtualHost("exact", ("a.com",), (route("r", RouteMatch("path", "/x")),)),
            VirtualHost("any", ("*",), (route("d", RouteMatch("prefix", "/")),)),
        ),
    )
    assert RouteTable(config).match(request("/y", authority="a.com")) is None


def test_the_most_specific_filter_config_wins() -> None:
    config = RouteConfiguration(
        "rc",
        (
            VirtualHost(
                "v",
                ("*",),
                (route("own", RouteMatch("path", "/own"), f=plugin("route")), route("any", RouteMatch("prefix", "/"))),
                {"f": plugin("host"), "g": plugin("host")},
            ),
        ),
        {"f": plugin("table"), "g": plugin("table"), "h": plugin("table")},
    )
    routes = RouteTable(config)
    values = []
    for path in ("/own", "/other"):
        entry = routes.match(request(path))
        assert entry is not None
        configs = [entry.filter_config(name) for name in "fghx"]
        values.append([found and msgspec.msgpack.decode(found.config) for found in configs])
    assert values == [["route", "host", "table", None], ["host", "host", "table", None]]


SEGMENT = st.sampled_from(["", "a", "ab", "b", "B"])
PATHS = st.lists(SEGMENT, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
MATCHES = st.builds(
    RouteMatch,
    kind=st.sampled_from(["prefix", "path", "path_separated_prefix"]),
    value=PATHS,
    case_sensitive=st.booleans(),
    headers=st.lists(
        st.builds(HeaderMatcher, name=st.sampled_from(["x", "y"]), string=st.just(StringMatcher("exact", "1"))),
        max_size=2,
    ).map(tuple),
)


def naive(match: RouteMatch, path: str, headers: dict[str, str]) -> bool:
    value = match.value
    if not match.case_sensitive:
        path, value = path.lower(), value.lower()
    path_matches = {
        "prefix": path.startswith(value),
        "path": path == value,
        "path_separated_prefix": (path + "/").startswith(value + "/"),
    }[match.kind]
    return path_matches and all(headers.get(header.name) == "1" for header in match.headers)


@given(
    st.lists(MATCHES, max_size=8),
    PATHS,
    st.sampled_from(["", "?", "?a/b", "#x"]),
    st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["1", "2"])),
)
def test_equal_to_a_linear_search(matches: list[RouteMatch], path: str, tail: str, headers: dict[str, str]) -> None:
    routes = table(*(route(str(index), match) for index, match in enumerate(matches)))
    expected = next((str(i) for i, match in enumerate(matches) if naive(match, path, headers)), None)
    found = routes.match(request(path + tail, headers=tuple(headers.items())))
    assert (found and found.route.name) == expected


def test_the_table_says_where_a_match_depends_on_authority_and_path_alone() -> None:
    plain = VirtualHost("plain", ("a.com",), (route("r", RouteMatch("regex", "/.*")),))
    other = RouteMatch("prefix", "/", headers=(HeaderMatcher("x"),))
    conditional = VirtualHost("conditional", ("b.com",), (route("r", RouteMatch("path", "/")), route("c", other)))
    routes = RouteTable(RouteConfiguration("rc", (plain, conditional)))
    found = [routes.virtual_host(authority) for authority in (b"A.com", b"b.com", b"c.com")]
    assert [host and host.by_path_alone for host in found] == [True, False, None]
    assert not routes.by_authority_and_path
    assert RouteTable(RouteConfiguration("rc", (plain,))).by_authority_and_path


def test_a_route_that_takes_all_paths_takes_no_other_targets() -> None:
    routes = table(route("paths", RouteMatch("prefix", "/")), route("all", RouteMatch("prefix", "")))
    found = [routes.match(request(path)) for path in ("/x", "/", "*", "")]
    assert [entry and entry.route.name for entry in found] == ["paths", "paths", "all", None]


def test_the_table_says_where_a_match_is_drawn() -> None:
    drawn = VirtualHost("drawn", ("a.com",), (route("r", RouteMatch("prefix", "/", runtime_fraction=(1, 100))),))
    plain = VirtualHost("plain", ("b.com",), (route("r", RouteMatch("prefix", "/")),))
    routes = RouteTable(RouteConfiguration("rc", (drawn, plain)))
    found = [routes.virtual_host(authority) for authority in (b"a.com", b"b.com")]
    assert [host and host.beyond_head for host in found] == [True, False]
