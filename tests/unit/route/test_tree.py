"""Matcher trees of virtual hosts: from YAML to a route, and against the plainest way to read one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.common import StringMatcher
from proxy.config.matching import Matcher, OnMatch, Predicate
from proxy.route.reads import headers_read
from proxy.route.table import RouteTable
from proxy.route.tree import compile_tree
from tests.kit.config import bootstrap, findings, routes
from tests.unit.route.requests import request

XDS = "xds.type.matcher.v3"
TREE = f"{XDS}.Matcher"
PREDICATE = f"{TREE}.MatcherList.Predicate"
HEADER = "'@type': type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: X"
INPUT = f"input: {{name: h, typed_config: {{{HEADER}}}}}"
ROUTE = "type.googleapis.com/envoy.config.route.v3.Route"


def action(name: str, *, kind: str = "Route") -> str:
    """YAML of an `OnMatch`."""
    route = f"match: {{prefix: /}}, name: {name}, direct_response: {{status: 200}}"
    if kind == "RouteList":
        never = "match: {path: /never}, direct_response: {status: 200}"
        route = f"routes: [{{{never}}}, {{{route}}}]"
    return f"{{action: {{name: a, typed_config: {{'@type': {ROUTE.removesuffix('Route')}{kind}, {route}}}}}}}"


def single(match: str) -> str:
    return f"{{single_predicate: {{{INPUT}, value_match: {{{match}}}}}}}"


def in_turn(*fields: tuple[str, str], more: str = "") -> str:
    matchers = ", ".join(f"{{predicate: {predicate}, on_match: {on_match}}}" for predicate, on_match in fields)
    return f"{{matcher_list: {{matchers: [{matchers}]}}, {more}}}"


def text(matcher: str, more: str = "") -> str:
    host = f"{{name: v, domains: ['*'], matcher: {matcher}, {more}}}"
    return bootstrap(route_config=f"{{name: r, virtual_hosts: [{host}]}}")


def found(matcher: str, *values: str) -> str | None:
    """The name of the route of a request with these lines of `x`."""
    config = routes(text(matcher))
    assert headers_read(config) == {b"x"}
    entry = RouteTable(config).match(request(headers=tuple(("x", value) for value in values)))
    return None if entry is None else entry.route.name


@pytest.mark.field(
    "envoy.config.route.v3.VirtualHost.matcher",
    f"{TREE}.matcher_list",
    f"{TREE}.on_no_match",
    f"{TREE}.OnMatch.action",
    f"{TREE}.OnMatch.matcher",
    f"{TREE}.MatcherList.matchers",
    f"{TREE}.MatcherList.FieldMatcher.predicate",
    f"{TREE}.MatcherList.FieldMatcher.on_match",
    f"{PREDICATE}.single_predicate",
    f"{PREDICATE}.SinglePredicate.input",
    f"{PREDICATE}.SinglePredicate.value_match",
    f"{XDS}.StringMatcher.exact",
    "xds.core.v3.TypedExtensionConfig.typed_config",
    "envoy.type.matcher.v3.HttpRequestHeaderMatchInput.header_name",
    "envoy.config.route.v3.RouteList.routes",
)
def test_lists() -> None:
    inner = in_turn((single("exact: 'one,two'"), action("both")))
    tree = in_turn(
        (single("exact: one"), action("one")),
        (single("exact: 'one,two'"), f"{{matcher: {inner}}}"),
        more=f"on_no_match: {action('rest', kind='RouteList')}",
    )
    assert found(tree, "one") == "one"
    assert found(tree, "one", "two") == "both"
    assert found(tree) == "rest"


@pytest.mark.field(
    f"{TREE}.matcher_tree",
    f"{TREE}.MatcherTree.input",
    f"{TREE}.MatcherTree.exact_match_map",
    f"{TREE}.MatcherTree.prefix_match_map",
    f"{TREE}.MatcherTree.MatchMap.map",
)
def test_maps() -> None:
    exact = f"{{matcher_tree: {{{INPUT}, exact_match_map: {{map: {{abc: {action('exact')}}}}}}}}}"
    branches = f"{{a: {action('a')}, ab: {{matcher: {exact}}}}}"
    tree = f"{{matcher_tree: {{{INPUT}, prefix_match_map: {{map: {branches}}}}}}}"
    assert [found(tree, value) for value in ("abc", "abd", "a", "b")] == ["exact", "a", "a", None]


@pytest.mark.parametrize(
    ("predicate", "value", "other"),
    [
        pytest.param(predicate, value, other, marks=pytest.mark.field(*fields))
        for predicate, value, other, fields in (
            (single("prefix: a"), "ab", "ba", [f"{XDS}.StringMatcher.prefix"]),
            (single("suffix: a"), "ba", "ab", [f"{XDS}.StringMatcher.suffix"]),
            (single("contains: a"), "bab", "b", [f"{XDS}.StringMatcher.contains"]),
            (single("exact: a, ignore_case: true"), "A", "b", [f"{XDS}.StringMatcher.ignore_case"]),
            (
                single("safe_regex: {google_re2: {}, regex: 'a+'}"),
                "aa",
                "ab",
                [f"{XDS}.StringMatcher.safe_regex", f"{XDS}.RegexMatcher.regex", f"{XDS}.RegexMatcher.google_re2"],
            ),
            (
                f"{{or_matcher: {{predicate: [{single('exact: a')}, {single('exact: b')}]}}}}",
                "b",
                "c",
                [f"{PREDICATE}.or_matcher", f"{PREDICATE}.PredicateList.predicate"],
            ),
            (
                f"{{and_matcher: {{predicate: [{single('prefix: a')}, {single('suffix: b')}]}}}}",
                "ab",
                "a",
                [f"{PREDICATE}.and_matcher"],
            ),
            (f"{{not_matcher: {single('exact: a')}}}", "b", "a", [f"{PREDICATE}.not_matcher"]),
        )
    ],
)
def test_predicates(predicate: str, value: str, other: str) -> None:
    tree = in_turn((predicate, action("found")))
    assert found(tree, value) == "found"
    assert found(tree, other) is None


@pytest.mark.parametrize(
    ("matcher", "more", "message"),
    [
        (
            in_turn((single("exact: a").replace("HeaderMatch", "QueryParamMatch").replace("header_name", "query_param"),
                     action("r"))),
            "",
            "envoy.type.matcher.v3.HttpRequestQueryParamMatchInput is not supported",
        ),
        (
            in_turn((single("exact: a"), action("r"))),
            "routes: [{match: {prefix: /}, direct_response: {status: 200}}]",
            "routes and a matcher are both set",
        ),
        (
            in_turn((single("exact: a"), action("r").replace(f"'@type': {ROUTE},", "'@type': type.googleapis.com/"
                     "google.protobuf.Empty, ").split("match:")[0].rstrip(" ,") + "}}}")),
            "",
            "google.protobuf.Empty is not supported",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(matcher: str, more: str, message: str) -> None:
    assert message in [finding.message for finding in findings(text(matcher, more))]


VALUES = st.sampled_from(["", "a", "b", "ab", "abc", "ba"])
NAMES = st.sampled_from(["x", "y"])
STRINGS = st.builds(StringMatcher, st.sampled_from(["exact", "prefix", "suffix", "contains"]), VALUES)
PREDICATES = st.recursive(
    st.builds(lambda name, string: Predicate("single", name, string), NAMES, STRINGS),
    lambda inner: st.one_of(
        st.builds(lambda of: Predicate("and", of=tuple(of)), st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda of: Predicate("or", of=tuple(of)), st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda one: Predicate("not", of=(one,)), inner),
    ),
    max_leaves=4,
)
ACTIONS = st.builds(lambda place: OnMatch((place,)), st.integers(0, 99))


def matchers(then: st.SearchStrategy[OnMatch]) -> st.SearchStrategy[Matcher]:
    otherwise = st.none() | then
    return st.one_of(
        st.builds(
            lambda fields, rest: Matcher(fields=tuple(fields), otherwise=rest),
            st.lists(st.tuples(PREDICATES, then), max_size=3),
            otherwise,
        ),
        st.builds(
            lambda name, branches, by_prefix, rest: Matcher((), name, branches, by_prefix, rest),
            NAMES,
            st.dictionaries(VALUES, then, max_size=4),
            st.booleans(),
            otherwise,
        ),
    )


NESTED = st.recursive(
    ACTIONS, lambda then: st.builds(lambda inner: OnMatch(matcher=inner), matchers(then)), max_leaves=6
)


def naive(matcher: Matcher, values: dict[str, str]) -> int | None:
    """As the documentation of `xds.type.matcher.v3.Matcher` reads."""
    tried: list[OnMatch] = []
    if matcher.header:
        value = values.get(matcher.header)
        fits = str.startswith if matcher.by_prefix else str.__eq__
        keys = [key for key in matcher.map if value is not None and fits(value, key)]
        tried += [matcher.map[key] for key in sorted(keys, key=len, reverse=True)]
    else:
        tried += [on_match for predicate, on_match in matcher.fields if holds(predicate, values)]
    for on_match in (*tried, matcher.otherwise):
        if on_match is not None:
            result = on_match.routes[0] if on_match.matcher is None else naive(on_match.matcher, values)
            if result is not None:
                return result
    return None


def holds(predicate: Predicate, values: dict[str, str]) -> bool:
    if predicate.kind == "single":
        value, string = values.get(predicate.header), predicate.string
        assert string is not None
        if value is None:
            return False
        wanted = string.value
        verdicts: dict[str, Any] = {
            "exact": value == wanted,
            "prefix": value.startswith(wanted),
            "suffix": value.endswith(wanted),
            "contains": wanted in value,
        }
        return bool(verdicts[string.kind])
    of = [holds(one, values) for one in predicate.of]
    return {"and": all(of), "or": any(of), "not": not of[0]}[predicate.kind]


@given(matchers(NESTED), st.dictionaries(NAMES, VALUES))
def test_a_tree_finds_what_a_plain_reading_finds(matcher: Matcher, values: dict[str, str]) -> None:
    find = compile_tree(matcher, lambda places: places[0])
    assert find(request(headers=tuple(values.items()))) == naive(matcher, values)
