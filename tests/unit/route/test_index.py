"""The index of a virtual host's routes: it answers as a linear scan does, and looks at far fewer of them."""

from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.config.compile.uri_template import compile_template
from proxy.config.common import HeaderMatcher, StringMatcher
from proxy.config.route import ClusterAction, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.http.headers import Headers
from proxy.route import index
from proxy.route.entry import RouteEntry
from proxy.route.index import RouteIndex
from proxy.route.matcher import RequestHead
from tests.unit.route.requests import CountingBytes, request

SEGMENT = st.sampled_from(["", "a", "ab", "b", "B", "Ab", "1"])
PATHS = st.lists(SEGMENT, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
LITERALS = st.builds(
    RouteMatch,
    kind=st.sampled_from(["prefix", "path", "path_separated_prefix"]),
    value=PATHS | st.just(""),
    case_sensitive=st.booleans() | st.just(True),
)
PIECES = [
    "/",
    "/a",
    "a",
    "b",
    "B",
    r"\.",
    r"\/",
    ".",
    ".*",
    "(a|b)",
    "(?:/b)?",
    "[ab/]",
    "b+",
    "a?",
    "a{2}",
    "|/a",
    "^",
    "$",
]
REGEXES = st.builds(
    RouteMatch,
    kind=st.just("regex"),
    value=st.lists(st.sampled_from(PIECES), max_size=5).map(lambda parts: "/" + "".join(parts)),
    case_sensitive=st.booleans(),
).filter(lambda match: "^?" not in match.value)
HEADER = st.builds(HeaderMatcher, name=st.sampled_from(["x", ":method"]), string=st.just(StringMatcher("exact", "1")))


def with_conditions(matches: st.SearchStrategy[RouteMatch]) -> st.SearchStrategy[RouteMatch]:
    def add(match: RouteMatch, headers: list[HeaderMatcher], certificate: bool | None) -> RouteMatch:
        conditions = {"headers": tuple(headers), "tls_presented": certificate}
        return RouteMatch(match.kind, match.value, match.case_sensitive, **conditions)  # type: ignore[arg-type]

    certificates = st.sampled_from([None, None, None, False, True])
    return st.builds(add, matches, st.just([]) | st.lists(HEADER, max_size=2), certificates)


TEMPLATES = st.sampled_from(["/{a}/b", "/a/*", "/a/{b=**}", "/*/{c=a/*}.b"]).map(
    lambda text: RouteMatch("regex", compile_template(text).pattern)
)
TABLES = st.lists(with_conditions(LITERALS | REGEXES | TEMPLATES), max_size=25) | st.lists(
    with_conditions(REGEXES), max_size=15
)


def entries(matches: list[RouteMatch]) -> list[RouteEntry]:
    routes = tuple(Route(match, ClusterAction("c"), str(place)) for place, match in enumerate(matches))
    host = VirtualHost("v", ("*",), routes)
    config = RouteConfiguration("rc", (host,))
    return [RouteEntry(config, host, route) for route in routes]


def scan(routes: list[RouteEntry], path: bytes, head: RequestHead) -> RouteEntry | None:
    """The specification."""
    return next((entry for entry in routes if entry.matches(path, head)), None)


# With small limits, the long way is taken by small tables too.
@pytest.mark.parametrize(("merged", "few_regexes"), [(index.MERGED, index.FEW_REGEXES), (1, 0), (3, 1)])
@given(
    matches=TABLES,
    paths=st.lists(PATHS | st.sampled_from(["*", "/a.b", "/AB/x", "//"]), min_size=1, max_size=8),
    method=st.sampled_from(["GET", "1"]),
    header=st.sampled_from(["1", "2"]),
)
def test_equal_to_a_linear_scan(
    merged: int, few_regexes: int, matches: list[RouteMatch], paths: list[str], method: str, header: str
) -> None:
    routes = entries(matches)
    with mock.patch.multiple(index, MERGED=merged, FEW_REGEXES=few_regexes):
        table = RouteIndex(routes)
    head = request(method=method, headers=(("x", header),))
    for path in map(str.encode, paths):
        assert table.find(path, head) is scan(routes, path, head)


@given(TABLES, PATHS)
def test_candidates_come_in_listed_order_and_leave_out_only_what_the_path_rules_out(
    matches: list[RouteMatch], path: str
) -> None:
    routes = entries(matches)
    candidates = list(RouteIndex(routes).candidates(path.encode()))
    places = [place for place, _, _ in candidates]
    assert places == sorted(set(places))
    certain = [place for place, _, check in candidates if check is None]
    expected = {place for place, entry in enumerate(routes) if entry.path_matches(path.encode())}
    assert {place for place in expected if place < min(certain, default=len(routes))} <= set(places)


def many(shape: str, count: int) -> list[RouteMatch]:
    """`count` routes of various lengths and depths, then one that takes everything."""
    values = [f"/v{place % 7}/{'team/' * (place % 5)}service-{place:04}" for place in range(count)]
    by_shape = {
        "path": [RouteMatch("path", value) for value in values],
        "prefix": [RouteMatch("prefix", f"{value}/") for value in values],
        "path_separated_prefix": [RouteMatch("path_separated_prefix", value) for value in values],
        "any case": [RouteMatch("prefix", f"{value}/", case_sensitive=False) for value in values],
        "header": [RouteMatch("prefix", f"{value}/", headers=(HeaderMatcher("x"),)) for value in values],
        "regex": [RouteMatch("regex", f"{value}/?[0-9]*") for value in values],
        "regex without a literal": [RouteMatch("regex", f"/?[^/]*{value}/?[0-9]*") for value in values],
    }
    return [*by_shape[shape], RouteMatch("prefix", "/")]


SHAPES = ["path", "prefix", "path_separated_prefix", "any case", "header", "regex", "regex without a literal"]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_does_not_grow_with_the_table(shape: str) -> None:
    """Counted in candidates and in steps of the search, for 10 routes and for 2,000 (10,000: see `bench`)."""
    work = {}
    for count in (10, 2000):
        matches = many(shape, count)
        table = RouteIndex(entries(matches))
        asked = [0]
        for place in range(0, count, max(1, count // 100)):
            text = f"/v{place % 7}/{'team/' * (place % 5)}service-{place:04}"
            path = CountingBytes((text if shape == "path" else f"{text}/").encode())
            candidates = list(table.candidates(path))
            assert candidates[0][1].route.name == str(place)
            asked.append(len(candidates) + path.slices)
        work[count] = max(asked)
    assert work[2000] <= work[10] + 3  # a few more lengths of keys, so a few more steps


class NoHeaders:
    """A request head that nobody may look at."""

    def __getattribute__(self, name: str) -> Headers:
        raise AssertionError(f"{name} was looked at")


@pytest.mark.parametrize("shape", ["path", "prefix", "any case", "regex", "regex without a literal"])
def test_a_request_is_only_looked_at_for_conditions(shape: str) -> None:
    table = RouteIndex(entries([*many(shape, 10), RouteMatch("prefix", "/", headers=(HeaderMatcher("x"),))]))
    found = table.find(b"/v3/team/team/team/service-0003", NoHeaders())  # type: ignore[arg-type]
    assert found is not None


def test_a_long_list_of_conditional_routes_stays_one_list() -> None:
    """5,000 keys below one with 5,000 conditional routes share them instead of having a copy each."""
    conditional = [RouteMatch("prefix", "/", headers=(HeaderMatcher(f"x-{n}"),)) for n in range(200)]
    table = RouteIndex(entries([*conditional, *(RouteMatch("prefix", f"/{n}/") for n in range(500))]))
    keys = [table._prefixes.find(b"/%d/" % n) for n in range(500)]
    assert all(key is not None and key.merged is None and len(key._own) == 1 for key in keys)
    found = table.find(b"/77/x", request())
    assert found is not None
    assert found.route.name == "277"
