"""Why a route does not take a request: every condition says what it saw and what it wants."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.config.common import HeaderMatcher, StringMatcher
from proxy.config.metadata import FilterStateMatcher, MetadataMatcher, ValueMatcher
from proxy.config.route import ClusterAction, QueryParameterMatcher, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.http.stream_info import StreamInfo
from proxy.route.entry import RouteEntry
from proxy.route.path import without_query
from proxy.route.reasons import Reason, describe, quoted, why_not
from tests.unit.route.requests import request


def why(match: RouteMatch, path: str = "/api?q=1", *, info: StreamInfo | None = None, **head: Any) -> Reason | None:
    route = Route(match, ClusterAction("c"))
    host = VirtualHost("v", ("*",), (route,))
    asked = request(path=path, **head)
    asked.random, asked.info = 505050, info
    return why_not(RouteEntry(RouteConfiguration("r", (host,)), host, route), without_query(asked.path), asked)


def header(**options: Any) -> RouteMatch:
    return RouteMatch("prefix", "/", headers=(HeaderMatcher("x-env", **options),))


@pytest.mark.parametrize(
    ("match", "words"),
    [
        (RouteMatch("prefix", "/apis"), "the path is '/api', wants prefix '/apis'"),
        (RouteMatch("path", "/API"), "the path is '/api', wants exact '/API'"),
        (RouteMatch("path_separated_prefix", "/ap"), "the path is '/api', wants path-separated prefix '/ap'"),
        (RouteMatch("prefix", "/B", case_sensitive=False), "the path is '/api', wants prefix '/B' (in any case)"),
        (RouteMatch("regex", "/a"), "the path is '/api', wants regex '/a'"),
        (RouteMatch("connect", ""), "the method is 'GET', wants CONNECT"),
    ],
)
def test_a_path_that_is_wrong(match: RouteMatch, words: str) -> None:
    reason = why(match)
    assert reason is not None
    assert (str(reason), reason.by_path) == (words, True)


def test_connect_is_for_routes_that_ask_for_it() -> None:
    reason = why(RouteMatch("prefix", ""), path="", method="CONNECT")
    assert str(reason) == "the method is 'CONNECT', wants one with a path: prefix ''"
    assert why(RouteMatch("connect", ""), path="", method="CONNECT") is None


@pytest.mark.parametrize(
    ("match", "words"),
    [
        (header(string=StringMatcher("exact", "prod")), "header x-env is 'dev', wants exact 'prod'"),
        (header(string=StringMatcher("exact", "DEV")), "header x-env is 'dev', wants exact 'DEV'"),
        (header(string=StringMatcher("prefix", "p")), "header x-env is 'dev', wants prefix 'p'"),
        (header(string=StringMatcher("suffix", "x", True)), "header x-env is 'dev', wants suffix 'x' (in any case)"),
        (header(string=StringMatcher("contains", "x")), "header x-env is 'dev', wants a value with 'x'"),
        (header(string=StringMatcher("regex", "d")), "header x-env is 'dev', wants regex 'd'"),
        (
            header(string=StringMatcher("exact", "dev"), invert=True),
            "header x-env is 'dev', wants anything but exact 'dev'",
        ),
        (header(range=(1, 5)), "header x-env is 'dev', wants a number from 1 to 4"),
        (header(present=False), "header x-env is 'dev', wants to be absent"),
        (header(invert=True), "header x-env is 'dev', wants to be absent"),
        (
            RouteMatch("prefix", "/", headers=(HeaderMatcher("x-none"),)),
            "header x-none is absent, wants to be there",
        ),
        (
            RouteMatch("prefix", "/", headers=(HeaderMatcher(":method", StringMatcher("exact", "POST")),)),
            "header :method is 'GET', wants exact 'POST'",
        ),
        (
            RouteMatch("prefix", "/", query_parameters=(QueryParameterMatcher("q", StringMatcher("exact", "2")),)),
            "query parameter q is '1', wants exact '2'",
        ),
        (
            RouteMatch("prefix", "/", query_parameters=(QueryParameterMatcher("z"),)),
            "query parameter z is absent, wants to be there",
        ),
        (RouteMatch("prefix", "/", grpc=True), "header content-type is absent, wants that of gRPC"),
        (
            RouteMatch("prefix", "/", tls_presented=True),
            "the client's certificate is absent, wants one presented",
        ),
        (
            RouteMatch("prefix", "/", runtime_fraction=(10, 10_000)),
            "the random value is 5050 of 10000, wants less than 10 (0.1 %)",
        ),
    ],
)
def test_a_condition_that_does_not_hold(match: RouteMatch, words: str) -> None:
    reason = why(match, headers=(("x-env", "dev"),))
    assert reason is not None
    assert (str(reason), reason.by_path) == (words, False)


def of_metadata(value: ValueMatcher, *, invert: bool = False) -> RouteMatch:
    return RouteMatch("prefix", "/", dynamic_metadata=(MetadataMatcher("ns", ("a", "b"), value, invert),))


def of_state(**options: Any) -> RouteMatch:
    return RouteMatch("prefix", "/", filter_state=(FilterStateMatcher("k", **options),))


EXACT_X = ValueMatcher("string", StringMatcher("exact", "x"))


@pytest.mark.parametrize(
    ("match", "words"),
    [
        (of_metadata(EXACT_X), "metadata ns:a:b is '1', wants exact 'x'"),
        (of_metadata(ValueMatcher("double", exact=2.0)), "metadata ns:a:b is '1', wants the number 2"),
        (of_metadata(ValueMatcher("double", range=(2, 3))), "metadata ns:a:b is '1', wants a number from 2 to below 3"),
        (of_metadata(ValueMatcher("bool", wanted=True)), "metadata ns:a:b is '1', wants true"),
        (of_metadata(ValueMatcher("null")), "metadata ns:a:b is '1', wants null"),
        (of_metadata(ValueMatcher("list", of=(EXACT_X,))), "metadata ns:a:b is '1', wants a list with exact 'x'"),
        (
            of_metadata(ValueMatcher("or", of=(EXACT_X, ValueMatcher("null")))),
            "metadata ns:a:b is '1', wants exact 'x' or null",
        ),
        (
            of_metadata(ValueMatcher("present", wanted=True), invert=True),
            "metadata ns:a:b is '1', wants anything but to be there",
        ),
        (of_state(string=StringMatcher("exact", "x")), "filter state k is 'v', wants exact 'x'"),
        (of_state(ranges=("10.0.0.0/8",)), "filter state k is 'v', wants an address in 10.0.0.0/8"),
    ],
)
def test_what_filters_have_left(match: RouteMatch, words: str) -> None:
    info = StreamInfo(0.0)
    info.dynamic_metadata = {"ns": {"a": {"b": 1}}}
    info.filter_state = {"k": b"v"}
    reason = why(match, info=info)
    assert str(reason) == words


def test_what_no_filter_has_left_is_absent() -> None:
    assert str(why(of_metadata(EXACT_X))) == "metadata ns:a:b is absent, wants exact 'x'"
    assert str(why(of_state(string=StringMatcher("exact", "x")))) == "filter state k is absent, wants exact 'x'"


def test_the_first_condition_that_fails_is_told_with_its_place() -> None:
    exact = [HeaderMatcher("x-env", StringMatcher("exact", value)) for value in ("dev", "prod", "other")]
    reason = why(RouteMatch("prefix", "/", headers=tuple(exact)), headers=(("x-env", "dev"),))
    assert reason is not None
    assert (reason.field, reason.wants) == (("headers", 1), "exact 'prod'")


def test_several_lines_are_told_and_long_values_cut() -> None:
    lines = (("x-env", "a"), ("x-env", "b"))
    assert (
        str(why(header(string=StringMatcher("exact", "c")), headers=lines))
        == "header x-env is 'a', 'b', wants exact 'c'"
    )
    assert quoted("x" * 200) == f"'{'x' * 120}…' (200 characters)"


def test_a_route_that_takes_the_request_has_no_reason() -> None:
    assert why(header(string=StringMatcher("exact", "dev")), headers=(("x-env", "dev"),)) is None


def test_a_match_in_words() -> None:
    match = RouteMatch(
        "prefix",
        "/",
        headers=(HeaderMatcher("x-env", StringMatcher("exact", "dev")),),
        query_parameters=(QueryParameterMatcher("q"),),
        grpc=True,
        runtime_fraction=(1, 100),
        tls_presented=True,
    )
    assert describe(match) == (
        "prefix '/', a client certificate, 1 % of requests, header x-env exact 'dev', "
        "query parameter q to be there, gRPC"
    )
