"""What a request's own headers ask of the router."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.route import ClusterAction, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.filters.http import router_headers
from proxy.filters.http.router_headers import EXPECTED_TIMEOUT, NO_CONTENT_ON_TIMEOUT, TIMEOUT, Terms
from proxy.http.headers import Headers
from proxy.http.identity import ROUTER_HEADERS
from proxy.http.request import Request
from proxy.route.entry import RouteEntry


def settle(headers: Headers, timeout: float, *, tell: bool) -> Terms:
    """The terms of a request with `headers`, which are edited, on a plain route."""
    request = Request()
    request.headers = headers
    action = ClusterAction("c", timeout)
    terms = router_headers.settle(request, action, None, tell=tell)
    entry = RouteEntry(RouteConfiguration("", ()), VirtualHost("", (), ()), Route(RouteMatch("prefix", "/"), action))
    router_headers.finish_terms(request, terms, entry)
    return terms


def pair(terms: Terms) -> tuple[float, bool]:
    return terms.timeout, terms.no_content


OTHERS = [(b"a", b"1"), (b"x-envoy-internal", b"true"), (b"a", b"2")]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"250", 0.25),
        (b"+250", 0.25),
        (b"0", 0.0),
        (b"18446744073709551615", (2**64 - 1) / 1000),
        *((junk, 15) for junk in (b"", b"-1", b"1.5", b"1_0", b"18446744073709551616", b"9" * 5000, b"\xb2")),
    ],
)
def test_timeout(value: bytes, seconds: float) -> None:
    headers = Headers([(TIMEOUT, value), *OTHERS])
    assert pair(settle(headers, 15, tell=False)) == (seconds, False)
    assert headers.items == OTHERS


def test_two_timeouts_are_none() -> None:
    assert pair(settle(Headers([(TIMEOUT, b"1"), (TIMEOUT, b"2")]), 15, tell=False)) == (15, False)


def test_no_content() -> None:
    assert pair(settle(Headers([(NO_CONTENT_ON_TIMEOUT, b"")]), 15, tell=False)) == (15, True)


def test_the_upstream_is_told_once() -> None:
    for before in ([], [(EXPECTED_TIMEOUT, b"1"), (EXPECTED_TIMEOUT, b"2")]):
        headers = Headers([(TIMEOUT, b"250"), *before])
        settle(headers, 15, tell=True)
        assert headers.items == [(EXPECTED_TIMEOUT, b"250")]
    headers = Headers()
    settle(headers, 0, tell=True)
    assert not headers.items


@given(st.lists(st.tuples(st.sampled_from([b"a", b"host", *ROUTER_HEADERS]), st.binary(max_size=4))))
def test_all_of_them_are_consumed_and_nothing_else(items: list[tuple[bytes, bytes]]) -> None:
    headers = Headers(items)
    settle(headers, 15, tell=False)
    assert headers.items == [item for item in items if item[0] not in ROUTER_HEADERS]
