"""What is retried, as a table; and that waiting has bounds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.common import HeaderMatcher
from proxy.config.forwarding import ResetHeader, RetryPolicy
from proxy.errors import Flag, ProxyError
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.route.backoff import BackOff, asked_interval, ratelimited
from proxy.route.retry import GRPC_NAMES, MAX_RETRIES, NAMES, NO_POLICY, RETRY_ON, RetryRules, RetryState
from proxy.upstream import failures

FLAGS = [
    Flag.UPSTREAM_CONNECTION_FAILURE,
    Flag.UPSTREAM_CONNECTION_TERMINATION,
    Flag.UPSTREAM_REMOTE_RESET,
    Flag.UPSTREAM_PROTOCOL_ERROR,
]
LATE = [Flag.UPSTREAM_REQUEST_TIMEOUT, Flag.UPSTREAM_MAX_STREAM_DURATION_REACHED]


def request(*items: tuple[bytes, bytes]) -> Request:
    found = Request()
    found.headers = Headers(items)
    return found


def state(*retry_on: str, items: tuple[tuple[bytes, bytes], ...] = (), **policy: object) -> RetryState:
    found = RetryRules(RetryPolicy(retry_on, **policy)).begin(request(*items))  # type: ignore[arg-type]
    assert found is not None
    return found


def error(flag: Flag | None) -> ProxyError:
    return ProxyError("x", side="upstream", status=503, flag=flag)


@given(st.integers(100, 999), st.sets(st.sampled_from(sorted(NAMES | GRPC_NAMES)), min_size=1))
def test_a_status_is_retried_by_the_conditions_that_name_it_alone(status: int, conditions: set[str]) -> None:
    expected = (
        ("5xx" in conditions and status // 100 == 5)
        or ("gateway-error" in conditions and status in (502, 503, 504))
        or ("retriable-4xx" in conditions and status == 409)
        or ("retriable-status-codes" in conditions and status == 418)
    )
    assert state(*conditions, retriable_status_codes=(418,)).wants_response(status, Headers()) == expected


@given(st.sampled_from([None, *Flag]), st.sets(st.sampled_from(sorted(NAMES | GRPC_NAMES)), min_size=1), st.booleans())
def test_a_reset_is_retried_by_the_conditions_that_name_it_alone(
    flag: Flag | None, conditions: set[str], started: bool
) -> None:
    expected = flag in (*FLAGS, *LATE) and (
        not conditions.isdisjoint({"5xx", "gateway-error", "reset"})
        or ("connect-failure" in conditions and flag is Flag.UPSTREAM_CONNECTION_FAILURE)
        or ("reset-before-request" in conditions and not started)
    )
    assert state(*conditions).wants_reset(error(flag), request_started=started) == expected


def test_a_stream_that_was_refused_is_retried_by_its_own_name() -> None:
    refused, was_reset = failures.reset("remote refused stream reset"), failures.reset("remote reset")
    assert state("refused-stream").wants_reset(refused, request_started=True)
    assert not state("refused-stream").wants_reset(was_reset, request_started=True)
    for other in NAMES - {"refused-stream", "5xx", "gateway-error", "reset"}:
        assert not state(other).wants_reset(refused, request_started=True)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("cancelled", b"1"),
        ("deadline-exceeded", b"4"),
        ("resource-exhausted", b"8"),
        ("internal", b"13"),
        ("unavailable", b"14"),
    ],
)
def test_a_grpc_status_is_retried_by_its_own_name(name: str, code: bytes) -> None:
    for other in GRPC_NAMES:
        assert state(other).wants_response(200, Headers([(b"grpc-status", code)])) == (other == name)


def test_what_is_rate_limited_is_for_one_condition_only() -> None:
    limited = Headers([(b"x-envoy-ratelimited", b"true")])
    assert not state("5xx").wants_response(503, limited)
    assert state("envoy-ratelimited").wants_response(200, limited)


def test_headers_of_the_response_and_of_the_request() -> None:
    again = state("retriable-headers", retriable_headers=(HeaderMatcher("x-a"),))
    assert again.wants_response(200, Headers([(b"x-a", b"")]))
    assert not again.wants_response(200, Headers([(b"x-b", b"")]))
    rules = RetryRules(RetryPolicy(("5xx",), retriable_request_headers=(HeaderMatcher("x-may"),)))
    assert rules.begin(request()) is None
    assert rules.begin(request((b"x-may", b"1"))) is not None


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_what_a_request_asks_for_never_fails_and_is_bounded(names: bytes, number: bytes) -> None:
    found = NO_POLICY.begin(request((RETRY_ON, b"5xx," + names), (MAX_RETRIES, number)))
    assert found is not None
    assert 0 <= found.remaining < 2**32


def test_without_a_policy_nothing_is_retried_unless_asked() -> None:
    assert NO_POLICY.begin(request((MAX_RETRIES, b"3"))) is None
    assert NO_POLICY.begin(request((RETRY_ON, b"unavailable"))) is None  # a name of the other header


@given(st.floats(0.001, 10), st.floats(1, 20), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=12))
def test_back_off_doubles_up_to_its_limit(base: float, times: float, draws: list[float]) -> None:
    drawn = iter(draws)
    waiting = BackOff(base, base * times, lambda: next(drawn))
    for number, draw in enumerate(draws):
        assert waiting.next() == pytest.approx(min(base * 2**number, base * times) * draw)


@given(st.floats(0.01, 1000), st.floats(0, 1, exclude_max=True))
def test_who_is_asked_to_wait_waits_no_less_and_at_most_half_as_much_again(asked: float, draw: float) -> None:
    assert asked <= ratelimited(asked, lambda: draw) <= 1.5 * asked


def test_the_first_header_that_says_something_usable_counts() -> None:
    headers = [ResetHeader("x-at", "UNIX_TIMESTAMP"), ResetHeader("retry-after")]
    cases = {
        ((b"retry-after", b"5"),): 5.0,
        ((b"x-at", b"1007"), (b"retry-after", b"5")): 7.0,
        ((b"x-at", b"900"), (b"retry-after", b"5")): 5.0,
        ((b"x-at", b"soon"), (b"retry-after", b"60")): None,
        ((b"retry-after", b"0"),): None,
        ((b"retry-after", b"9" * 400),): None,
        (): None,
    }
    for items, expected in cases.items():
        assert asked_interval(Headers(items), headers, 30.0, lambda: 1000.0) == expected


def test_every_condition_has_an_effect_or_is_of_another_protocol() -> None:
    responses = [
        (status, Headers(items))
        for status, items in itertools.product(
            (200, 409, 418, 503), ((), ((b"x-a", b""),), ((b"x-envoy-ratelimited", b""),))
        )
    ]
    responses += [(200, Headers([(b"grpc-status", b"%d" % code)])) for code in range(17)]
    silent = {
        name
        for name in NAMES | GRPC_NAMES
        if not any(
            state(name, retriable_status_codes=(418,), retriable_headers=(HeaderMatcher("x-a"),)).wants_response(*one)
            for one in responses
        )
        and not any(state(name).wants_reset(error(flag), request_started=False) for flag in FLAGS)
    }
    assert silent == {"refused-stream", "http3-post-connect-failure"}
