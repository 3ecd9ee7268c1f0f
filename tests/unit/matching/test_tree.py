"""Matcher trees of virtual hosts: from YAML to a route."""

from __future__ import annotations

import pytest

from proxy.route.reads import headers_read
from proxy.route.table import RouteTable
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
            "the matcher of a virtual host cannot look at envoy.type.matcher.v3.HttpRequestQueryParamMatchInput",
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
