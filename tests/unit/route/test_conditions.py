"""What routes ask beyond the path."""

from __future__ import annotations

import pytest

from proxy.config.common import HeaderMatcher, StringMatcher
from proxy.config.route import QueryParameterMatcher, RouteMatch
from proxy.route.conditions import by_path_alone, compile_conditions, first_value
from tests.unit.route.requests import request


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (b"/?a=1", b"1"),
        (b"/?b=2&a=1&a=3", b"1"),
        (b"/?a", b""),
        (b"/?a=", b""),
        (b"/?a=b=c", b"b=c"),
        (b"/?a=%20", b"%20"),
        (b"/?aa=1&A=1", None),
        (b"/?%61=1", None),
        (b"/a=1", None),
        (b"/?", None),
    ],
)
def test_the_first_value_of_a_query_parameter(path: bytes, value: bytes | None) -> None:
    assert first_value(path, b"a") == value


@pytest.mark.parametrize(
    ("matcher", "accepted"),
    [
        (QueryParameterMatcher("a"), ["/?a", "/?a=1"]),
        (QueryParameterMatcher("a", present=True), ["/?a", "/?a=1"]),
        (QueryParameterMatcher("a", present=False), ["/"]),
        (QueryParameterMatcher("a", StringMatcher("exact", "")), ["/?a"]),
        (QueryParameterMatcher("a", StringMatcher("exact", "1")), ["/?a=1"]),
    ],
)
def test_query_parameters(matcher: QueryParameterMatcher, accepted: list[str]) -> None:
    (condition,) = compile_conditions(RouteMatch("prefix", "/", query_parameters=(matcher,)))
    assert [path for path in ("/", "/?a", "/?a=1") if condition(request(path))] == accepted


def test_one_number_decides_about_all_shares_of_a_request() -> None:
    (half,) = compile_conditions(RouteMatch("prefix", "/", runtime_fraction=(50, 100)))
    heads = [request() for _ in range(200)]
    verdicts = [half(head) for head in heads]
    assert set(verdicts) == {True, False}  # wrong once in 2**199 runs
    assert [half(head) for head in heads] == verdicts


def test_shares_are_as_large_as_said() -> None:
    (share,) = compile_conditions(RouteMatch("prefix", "/", runtime_fraction=(25, 10_000)))
    head = request()
    accepted = 0
    for head._random in range(30_000, 50_000):
        accepted += share(head)
    assert accepted == 2 * 25


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (RouteMatch("prefix", "/"), True),
        (RouteMatch("prefix", "/", query_parameters=(QueryParameterMatcher("a"),)), True),
        (RouteMatch("prefix", "/", headers=(HeaderMatcher("a"),)), False),
        (RouteMatch("prefix", "/", grpc=True), False),
        (RouteMatch("prefix", "/", runtime_fraction=(1, 100)), False),
    ],
)
def test_what_depends_on_the_path_alone(match: RouteMatch, expected: bool) -> None:
    assert by_path_alone(match) is expected
