"""What a request's own headers ask of the router."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.filters.http.router_headers import EXPECTED_TIMEOUT, NO_CONTENT_ON_TIMEOUT, TIMEOUT, settle
from proxy.http.headers import Headers
from proxy.http.identity import ROUTER_HEADERS

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
    assert settle(headers, 15, tell=False) == (seconds, False)
    assert headers.items == OTHERS


def test_two_timeouts_are_none() -> None:
    assert settle(Headers([(TIMEOUT, b"1"), (TIMEOUT, b"2")]), 15, tell=False) == (15, False)


def test_no_content() -> None:
    assert settle(Headers([(NO_CONTENT_ON_TIMEOUT, b"")]), 15, tell=False) == (15, True)


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
    assert headers.items == [pair for pair in items if pair[0] not in ROUTER_HEADERS]
