"""The route table beside the real Envoy: one rich table, many requests, the same choice.

Envoy answers every route with a direct response that names it. Nothing expected is stored here.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from proxy.config.common import HeaderMatcher, StringMatcher
from proxy.config.route import ClusterAction, QueryParameterMatcher, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.http.events import RequestReceived
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.route.matcher import JOINED
from proxy.route.table import RouteTable
from tests.kit.client import Connection
from tests.kit.envoy import Envoy
from tests.parity.rules import of

NO_ROUTE = "(no route)"
EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"


def string(kind: str, value: str, *, ignore_case: bool = False) -> StringMatcher:
    return StringMatcher(kind, value, ignore_case)  # type: ignore[arg-type]


def on(*headers: HeaderMatcher) -> RouteMatch:
    return RouteMatch("prefix", "/", headers=headers)


# What each probe header's value is matched with: one route per virtual host, so that routes do not shadow each other.
HEADER_CASES: dict[str, HeaderMatcher] = {
    "exact": HeaderMatcher("x-p", string("exact", "abc")),
    "exact-nocase": HeaderMatcher("x-p", string("exact", "aBc", ignore_case=True)),
    "prefix": HeaderMatcher("x-p", string("prefix", "ab")),
    "suffix": HeaderMatcher("x-p", string("suffix", "bc")),
    "contains": HeaderMatcher("x-p", string("contains", "b")),
    "contains-nocase": HeaderMatcher("x-p", string("contains", "B", ignore_case=True)),
    "regex": HeaderMatcher("x-p", string("regex", "a.c|[0-9]+")),
    "regex-bytes": HeaderMatcher("x-p", string("regex", "a..c|é{2}|\\w")),
    "joined": HeaderMatcher("x-p", string("exact", "abc,12")),
    "invert-exact": HeaderMatcher("x-p", string("exact", "abc"), invert=True),
    "invert-regex": HeaderMatcher("x-p", string("regex", "[0-9]+"), invert=True),
    "missing-empty-exact": HeaderMatcher("x-p", string("exact", "abc"), treat_missing_as_empty=True),
    "missing-empty-regex": HeaderMatcher("x-p", string("regex", ".*"), treat_missing_as_empty=True),
    "missing-empty-invert": HeaderMatcher("x-p", string("exact", "abc"), invert=True, treat_missing_as_empty=True),
    "range": HeaderMatcher("x-p", range=(-5, 13)),
    "range-invert": HeaderMatcher("x-p", range=(-5, 13), invert=True),
    "range-missing-empty": HeaderMatcher("x-p", range=(-5, 13), treat_missing_as_empty=True),
    "range-invert-missing-empty": HeaderMatcher("x-p", range=(-5, 13), invert=True, treat_missing_as_empty=True),
    "present": HeaderMatcher("x-p", present=True),
    "absent": HeaderMatcher("x-p", present=False),
    "present-invert": HeaderMatcher("x-p", present=True, invert=True),
    "absent-invert": HeaderMatcher("x-p", present=False, invert=True),
    "present-missing-empty": HeaderMatcher("x-p", present=True, treat_missing_as_empty=True),
    "absent-missing-empty": HeaderMatcher("x-p", present=False, treat_missing_as_empty=True),
    "default": HeaderMatcher("x-p"),
    "default-invert": HeaderMatcher("x-p", invert=True),
    "method": HeaderMatcher(":method", string("exact", "POST")),
    "path": HeaderMatcher(":path", string("suffix", "q=1")),
    "authority": HeaderMatcher(":authority", string("prefix", "header-authority.test:")),
    "host": HeaderMatcher("host", string("suffix", ":81")),
    "scheme": HeaderMatcher(":scheme", string("exact", "http")),
}
HEADER_VALUES: list[tuple[str, ...]] = [
    (),
    ("abc",),
    ("ABC",),
    ("",),
    ("ab",),
    ("bc",),
    ("xbx",),
    ("abc", "12"),
    ("12",),
    ("-5",),
    ("13",),
    ("+7",),
    ("007",),
    ("0x1",),
    ("1.5",),
    ("9223372036854775807",),
    ("99999999999999999999",),
    ("1", "2"),
    ("aéc",),
    ("éé",),
    ("é\u00a9",),
]


def on_query(*parameters: QueryParameterMatcher) -> RouteMatch:
    return RouteMatch("prefix", "/", query_parameters=parameters)


# Conditions of other kinds, each in a virtual host of its own.
OTHER_CASES: dict[str, RouteMatch] = {
    "query-default": on_query(QueryParameterMatcher("a")),
    "query-present": on_query(QueryParameterMatcher("a", present=True)),
    "query-absent": on_query(QueryParameterMatcher("a", present=False)),
    "query-exact": on_query(QueryParameterMatcher("a", string("exact", "1"))),
    "query-nocase": on_query(QueryParameterMatcher("a", string("contains", "b", ignore_case=True))),
    "query-empty": on_query(QueryParameterMatcher("a", string("exact", ""))),
    "query-regex": on_query(QueryParameterMatcher("a", string("regex", "[0-9]+"))),
    "query-escaped": on_query(QueryParameterMatcher("a", string("exact", "x y"))),
    "query-two": on_query(QueryParameterMatcher("a", string("prefix", "1")), QueryParameterMatcher("b")),
    "grpc": RouteMatch("prefix", "/", grpc=True),
    "never": RouteMatch("prefix", "/", runtime_fraction=(0, 100)),
    "always": RouteMatch("prefix", "/", runtime_fraction=(10_000, 10_000)),
    "more-than-always": RouteMatch("prefix", "/", runtime_fraction=(101, 100)),
    "all": RouteMatch(
        "prefix",
        "/",
        headers=(HeaderMatcher("x-p", present=True),),
        query_parameters=(QueryParameterMatcher("a"),),
        grpc=True,
        runtime_fraction=(1_000_000, 1_000_000),
    ),
}
QUERIES = [
    "/", "/?", "/?a", "/?a=", "/?a=1", "/?a=1&b", "/?b&a=12", "/?a=2&a=1", "/?a=1&a=2", "/?A=1", "/?aa=1", "/?b=a=1",
    "/?a=aBc", "/?a=x%20y", "/?a=x+y", "/?a==1", "/?&a=1", "/?a=1&", "/??a=1", "/?x?a=1", "/?a=1;b=2", "/?%61=1",
    "/?b=1&a=7", "/x?a=1",
]  # fmt: skip
CONTENT_TYPES = [
    "application/grpc", "application/grpc+proto", "application/grpc+", "application/grpc-web", "application/grpc;x=y",
    "APPLICATION/GRPC", "application/json", "application/grpcx", "",
]  # fmt: skip

PATH_ROUTES = (
    RouteMatch("path", "/exact"),
    RouteMatch("path", "/Nocase", case_sensitive=False),
    RouteMatch("path_separated_prefix", "/sep"),
    RouteMatch("path_separated_prefix", "/SepNocase", case_sensitive=False),
    RouteMatch("regex", "/re[0-9]+"),
    RouteMatch("regex", "/(a|ab)(c|bcd)(d*)"),
    RouteMatch("regex", "/renocase", case_sensitive=False),
    RouteMatch("prefix", "/pre/long", headers=(HeaderMatcher("x-p", string("exact", "1")),)),
    RouteMatch("prefix", "/pre"),
    RouteMatch("prefix", "/pre/long"),
    RouteMatch("prefix", "/PreNocase", case_sensitive=False),
    RouteMatch("prefix", "/query?x"),
    RouteMatch("path", "/"),
)
PATHS = [
    "/", "/?x", "/exact", "/exact?q=1", "/exact/", "/Exact", "/exact%20", "/nocase", "/NOCASE?a=B", "/nocase/",
    "/sep", "/sep/", "/sep/foo", "/sep?x", "/sepx", "/Sep", "/sep%2ffoo", "/sepnocase/x", "/SEPNOCASE", "/sepnocasex",
    "/re1", "/re12?x=y", "/re1x", "/re", "/RE1", "/abcd", "/abbcdd", "/abc", "/ac", "/RENOCASE", "/renocase",
    "/pre", "/prefix", "/pre/long", "/pre/long/er?x", "/PRE", "/prenocase", "/PRENOCASE/x", "/query", "/query?x",
    "//", "//exact", "/./exact", "/exact/../sep", "/nothing", "/;a=b", "/exact;a=b",
]  # fmt: skip
DOMAINS = (
    ("exact.test",),
    ("exact.test:81", "Mixed.Test"),
    ("*.suffix.test",),
    ("*-b.suffix.test",),
    ("*fix.test",),
    ("prefix.*",),
    ("prefix.long.*",),
    ("both.*",),
    ("*.test.both",),
)
AUTHORITIES = [
    "exact.test", "EXACT.test", "exact.test:80", "exact.test:81", "exact.test.", "mixed.test", "MIXED.TEST:80",
    "a.suffix.test", "a.b.suffix.test", "a-b.suffix.test", "-b.suffix.test", ".suffix.test", "suffix.test",
    "xsuffix.test", "fix.test", "a.suffix.test:80", "prefix.com", "prefix.", "prefix.long.com", "prefix.long.",
    "PREFIX.X", "prefix.test.both", "both.test.both", "both.x", "x.test.both", "unknown", "127.0.0.1", "[::1]:80",
]  # fmt: skip


# Header names of both kinds: those whose lines Envoy joins, and those whose lines it looks at one by one.
SEVERAL_LINES = [
    *sorted(name.decode() for name in JOINED),
    "accept-charset", "accept-language", "content-language", "cookie", "date", "dnt", "expires", "forwarded", "link",
    "max-forwards", "proxy-authorization", "range", "tracestate", "vary", "x-custom", "x-real-ip",
]  # fmt: skip


def tables() -> RouteConfiguration:
    """One virtual host per header case, one for all paths, and those of the domain rules."""

    def host(name: str, domains: tuple[str, ...], *matches: RouteMatch) -> VirtualHost:
        routes = tuple(Route(match, ClusterAction(""), f"{name}/{index}") for index, match in enumerate(matches))
        return VirtualHost(name, domains, routes)

    by_header = [
        host(f"header-{name}", (f"header-{name}.test", f"header-{name}.test:*"), on(matcher))
        for name, matcher in HEADER_CASES.items()
    ]
    by_domain = [host(f"domain-{index}", domains, on()) for index, domains in enumerate(DOMAINS)]
    by_other = [host(f"other-{name}", (f"{name}.other.test",), match) for name, match in OTHER_CASES.items()]
    by_lines = [
        host(
            f"lines-{name}",
            (f"lines-{name}.test",),
            *(on(HeaderMatcher(name, string("exact", value))) for value in ("a,b", "a", "b")),
        )
        for name in SEVERAL_LINES
    ]
    everything = host("default", ("*",), on(HeaderMatcher("x-default", present=True)))
    return RouteConfiguration(
        "rc", (*by_header, *by_domain, *by_other, *by_lines, host("paths", ("paths.test",), *PATH_ROUTES), everything)
    )


def envoy_string(matcher: StringMatcher) -> dict[str, Any]:
    if matcher.kind == "regex":
        return {"safe_regex": {"regex": matcher.value}}
    return {matcher.kind: matcher.value, "ignore_case": matcher.ignore_case}


def envoy_header(matcher: HeaderMatcher) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": matcher.name,
        "invert_match": matcher.invert,
        "treat_missing_header_as_empty": matcher.treat_missing_as_empty,
    }
    if matcher.string is not None:
        found["string_match"] = envoy_string(matcher.string)
    if matcher.present is not None:
        found["present_match"] = matcher.present
    if matcher.range is not None:
        found["range_match"] = {"start": matcher.range[0], "end": matcher.range[1]}
    return found


def envoy_query(matcher: QueryParameterMatcher) -> dict[str, Any]:
    found: dict[str, Any] = {"name": matcher.name}
    if matcher.string is not None:
        found["string_match"] = envoy_string(matcher.string)
    if matcher.present is not None:
        found["present_match"] = matcher.present
    return found


def envoy_route(route: Route) -> dict[str, Any]:
    match = route.match
    fields: dict[str, Any] = {"grpc": {}} if match.grpc else {}
    if match.runtime_fraction is not None:
        numerator, denominator = match.runtime_fraction
        kind = {100: "HUNDRED", 10_000: "TEN_THOUSAND", 1_000_000: "MILLION"}[denominator]
        fields["runtime_fraction"] = {"default_value": {"numerator": numerator, "denominator": kind}}
    path = {"safe_regex": {"regex": match.value}} if match.kind == "regex" else {match.kind: match.value}
    return {
        "match": {
            **path,
            **fields,
            "case_sensitive": match.case_sensitive,
            "headers": [envoy_header(header) for header in match.headers],
            "query_parameters": [envoy_query(parameter) for parameter in match.query_parameters],
        },
        "direct_response": {"status": 200, "body": {"inline_string": route.name}},
    }


def bootstrap(config: RouteConfiguration) -> str:
    manager = {
        "@type": f"{EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "p",
        "route_config": {
            "name": config.name,
            "virtual_hosts": [
                {"name": v.name, "domains": list(v.domains), "routes": [envoy_route(route) for route in v.routes]}
                for v in config.virtual_hosts
            ],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{EXTENSIONS}.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "l",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    return yaml.safe_dump({"static_resources": {"listeners": [listener]}})


class Sides:
    """Envoy's choice and ours for one request head."""

    def __init__(self, envoy: Envoy, table: RouteTable) -> None:
        self.table = table
        self.connection = Connection(envoy.address())

    def choices(self, authority: str, path: str, headers: list[tuple[str, str]], method: str) -> tuple[str, str]:
        lines = [f"{method} {path} HTTP/1.1", f"host: {authority}", *(f"{name}: {value}" for name, value in headers)]
        response = self.connection.request("\r\n".join([*lines, "", ""]).encode())
        assert response.status in (200, 404), response
        theirs = response.body.decode() if response.status == 200 else NO_ROUTE
        if response.value("grpc-status") is not None:  # what gRPC makes of a body
            theirs = response.value("grpc-message") or NO_ROUTE
        head = RequestReceived(
            stream_id=1,
            method=method.encode(),
            scheme=b"http",
            authority=authority.encode(),
            path=path.encode(),
            protocol="HTTP/1.1",
            headers=Headers((name.encode(), value.encode()) for name, value in headers),
            end_stream=True,
        )
        entry = self.table.match(Request(head))
        return theirs, entry.route.name if entry else NO_ROUTE

    def assert_same(
        self, authority: str, path: str, headers: tuple[tuple[str, str], ...] = (), method: str = "GET"
    ) -> str:
        theirs, ours = self.choices(authority, path, list(headers), method)
        assert ours == theirs, f"{method} {authority}{path} {headers}"
        return theirs


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    config = tables()
    with Envoy(bootstrap(config)) as envoy:
        both = Sides(envoy, RouteTable(config))
        yield both
        both.connection.close()


@pytest.mark.parity("rule 1", "rule 2", *of("config.route.v3.VirtualHost", "domains"))
def test_virtual_hosts(sides: Sides) -> None:
    chosen = {sides.assert_same(authority, "/", (("x-default", "1"),)) for authority in AUTHORITIES}
    assert len(chosen) > len(DOMAINS) - 2  # the table is not trivial


@pytest.mark.parity(
    "rule 3",
    "rule 4",
    *of("config.route.v3.RouteMatch", "prefix", "path", "path_separated_prefix", "safe_regex", "case_sensitive"),
)
@pytest.mark.parametrize("path", PATHS)
def test_paths(sides: Sides, path: str) -> None:
    sides.assert_same("paths.test", path)
    sides.assert_same("paths.test", path, (("x-p", "1"),))


@pytest.mark.parity(
    "rule 3",
    *of("config.route.v3.RouteMatch", "headers"),
    *of(
        "config.route.v3.HeaderMatcher",
        "name",
        "string_match",
        "range_match",
        "present_match",
        "invert_match",
        "treat_missing_header_as_empty",
    ),
    *of("type.matcher.v3.StringMatcher", "exact", "prefix", "suffix", "contains", "safe_regex", "ignore_case"),
)
@pytest.mark.parametrize("case", HEADER_CASES)
def test_headers(sides: Sides, case: str) -> None:
    for values in HEADER_VALUES:
        sides.assert_same(f"header-{case}.test", "/", tuple(("x-p", value) for value in values))


@pytest.mark.parity(*of("config.route.v3.HeaderMatcher", "string_match"))
@pytest.mark.parametrize("name", SEVERAL_LINES)
def test_several_lines_of_one_name(sides: Sides, name: str) -> None:
    for values in [("a", "b"), ("b", "a"), ("a", "c"), ("a,b",), ("b",), ("a", "b", "b")]:
        sides.assert_same(f"lines-{name}.test", "/", tuple((name, value) for value in values))


@pytest.mark.parity(*of("config.route.v3.HeaderMatcher", "name"))
@pytest.mark.parametrize("case", ["method", "path", "authority", "host", "scheme"])
def test_pseudo_headers(sides: Sides, case: str) -> None:
    for port, path, method in itertools.product(["", ":80", ":81"], ["/", "/?q=1", "/?q=12"], ["GET", "POST"]):
        sides.assert_same(f"header-{case}.test{port}", path, method=method)


@pytest.mark.parity(
    *of("config.route.v3.RouteMatch", "query_parameters"),
    *of("config.route.v3.QueryParameterMatcher", "name", "string_match", "present_match"),
)
@pytest.mark.parametrize("case", [name for name in OTHER_CASES if name.startswith("query")])
def test_query_parameters(sides: Sides, case: str) -> None:
    for path in QUERIES:
        sides.assert_same(f"{case}.other.test", path)


@pytest.mark.parity(
    *of("config.route.v3.RouteMatch", "grpc", "runtime_fraction"),
    *of("config.core.v3.RuntimeFractionalPercent", "default_value"),
    *of("type.v3.FractionalPercent", "numerator", "denominator"),
)
@pytest.mark.parametrize("case", [name for name in OTHER_CASES if not name.startswith("query")])
def test_other_conditions(sides: Sides, case: str) -> None:
    for content_type, method in itertools.product(CONTENT_TYPES, ["GET", "POST"]):
        headers = (("content-type", content_type), ("x-p", "1"))
        sides.assert_same(f"{case}.other.test", "/s/m?a=1", headers, method=method)
        sides.assert_same(f"{case}.other.test", "/s/m", headers, method=method)


@pytest.mark.parity("rule 1", "rule 2", "rule 3", "rule 4")
def test_a_thousand_combinations(sides: Sides) -> None:
    random_choice = random.Random(7).choice
    headers = [f"header-{name}.test" for name in HEADER_CASES]
    for _ in range(1000):
        values = random_choice(HEADER_VALUES)
        sides.assert_same(
            random_choice([*AUTHORITIES, *headers, "paths.test"]),
            random_choice(PATHS),
            tuple(("x-p", value) for value in values),
            method=random_choice(["GET", "DELETE"]),
        )
