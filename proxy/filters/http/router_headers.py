"""What a request's own headers ask of the router, and what the upstream is told (features §13 rules 24, 27 and 46)."""

from __future__ import annotations

from proxy.config.forwarding import Forwarding
from proxy.config.route import ClusterAction
from proxy.http import grpc, grpc_timeout
from proxy.http.headers import Headers
from proxy.http.identity import ROUTER_HEADERS
from proxy.route.entry import RouteEntry
from proxy.route.matcher import RequestHead
from proxy.route.retry import (
    NO_POLICY,
    RetryRules,
    RetryState,
)

EXPECTED_TIMEOUT = b"x-envoy-expected-rq-timeout-ms"
TIMEOUT = b"x-envoy-upstream-rq-timeout-ms"
PER_TRY_TIMEOUT = b"x-envoy-upstream-rq-per-try-timeout-ms"
NO_CONTENT_ON_TIMEOUT = b"x-envoy-upstream-rq-timeout-alt-response"
STREAM_DURATION = b"x-envoy-upstream-stream-duration-ms"
HEDGE = b"x-envoy-hedge-on-per-try-timeout"
ALT_STAT_NAME = b"x-envoy-upstream-alt-stat-name"
TIMEOUT_RETRY = b"x-envoy-is-timeout-retry"

_TIMES = frozenset({TIMEOUT, PER_TRY_TIMEOUT, HEDGE, ALT_STAT_NAME})
"""Consumed before the route's header mutations. What those write of it means nothing, and goes to the upstream but for
what is consumed after them, too.
"""

_AFTER_MUTATIONS = ROUTER_HEADERS - {TIMEOUT, ALT_STAT_NAME}
"""Consumed after them, whoever wrote it."""

MAX_DIGITS = 20  # of a number of 64 bits


class Terms:
    """On what terms a request is forwarded: the route's, unless it asked for others. Seconds; 0 means none.

    `no_content`: an empty 204 answers a timeout. `retry` is None if nothing is retried. `stream_duration` is None if
    the cluster's own counts. `hedge`: an attempt that takes too long goes on beside the next one. `asked`: the request
    asked for something. `tell`: the upstream hears how long we shall wait;
    with `tells_grpc` as `grpc-timeout`, too.
    """

    __slots__ = (
        "asked",
        "hedge",
        "no_content",
        "per_try_idle_timeout",
        "per_try_timeout",
        "retry",
        "stream_duration",
        "tell",
        "tells_grpc",
        "timeout",
    )

    def __init__(self, timeout: float, *, tell: bool) -> None:
        self.timeout = timeout
        self.tell = tell
        self.per_try_timeout = self.per_try_idle_timeout = 0.0
        self.stream_duration: float | None = None
        self.asked = self.no_content = self.hedge = self.tells_grpc = False
        self.retry: RetryState | None = None

    def expected(self, elapsed: float) -> float:
        """Seconds that an attempt gets which begins `elapsed` after the end of the request; 0: as many as it likes."""
        allowed = self.timeout if self.hedge else self.per_try_timeout or self.timeout
        if allowed and self.timeout:
            return max(min(allowed, self.timeout - elapsed), 0.001)
        return allowed


def settle(
    request: RequestHead,
    action: ClusterAction,
    rules: RetryRules | None,
    *,
    tell: bool,
    respect_expected: bool = False,
) -> Terms:
    """Take the headers about timeouts out of the request, and `tell` the upstream how long we shall wait. The rest is
    `finish_terms`'s, once the route's header mutations have been made. `respect_expected`: what the proxy before us has
    told us counts as the route's timeout.

    What callers from outside asked is gone already: whatever is left comes from inside, or from our own filters.
    """
    headers, forwarding = request.headers, action.forwarding
    terms = Terms(action.timeout if forwarding.max_stream_duration is None else 0.0, tell=tell)
    if forwarding.max_grpc_timeout is not None and grpc.is_request(headers):
        terms.timeout, terms.tells_grpc = _grpc_timeout(headers, forwarding), True
    terms.hedge = forwarding.hedge_on_per_try_timeout
    names = dict(headers.items)
    if rules is not None:
        terms.per_try_timeout = rules.policy.per_try_timeout
        terms.per_try_idle_timeout = rules.policy.per_try_idle_timeout
    expected = respect_expected and EXPECTED_TIMEOUT in names
    consumed = _TIMES - {TIMEOUT} if expected else _TIMES
    if not ROUTER_HEADERS.isdisjoint(names):
        terms.asked = True
        if PER_TRY_TIMEOUT in names:
            terms.per_try_timeout = _seconds(headers.joined(PER_TRY_TIMEOUT) or b"", terms.per_try_timeout)
        terms.hedge = _BOOLEANS.get(names.get(HEDGE, b""), terms.hedge)
        if TIMEOUT in names and not expected:
            terms.timeout = _seconds(headers.joined(TIMEOUT) or b"", terms.timeout)
        headers.items = [pair for pair in headers.items if pair[0] not in consumed]
    if expected:
        terms.asked = True
        terms.timeout = _seconds(headers.joined(EXPECTED_TIMEOUT) or b"", terms.timeout)
    if terms.per_try_timeout >= terms.timeout > 0:
        terms.per_try_timeout = 0.0
    tell_timeout(headers, terms, names=names)
    return terms


def finish_terms(request: RequestHead, terms: Terms, entry: RouteEntry) -> None:
    """Take all other headers for the router out of the request, which `entry` has finished, and settle its retries."""
    headers, rules = request.headers, entry.retry
    names = dict(headers.items) if terms.asked or entry.finish_request is not None else {}
    asks = not _AFTER_MUTATIONS.isdisjoint(names)
    if asks:
        terms.asked = True
        terms.no_content = NO_CONTENT_ON_TIMEOUT in names
        if STREAM_DURATION in names:
            asked = _seconds(headers.joined(STREAM_DURATION) or b"", -1.0)
            terms.stream_duration = asked if asked >= 0 else None
    if asks or rules is not None:
        terms.retry = (rules or NO_POLICY).begin(request)
    if asks:
        headers.items = [pair for pair in headers.items if pair[0] not in _AFTER_MUTATIONS]
    if terms.hedge and terms.retry is None:
        terms.per_try_timeout = terms.per_try_idle_timeout = 0.0  # they would only make another attempt


def tell_timeout(
    headers: Headers, terms: Terms, elapsed: float = 0.0, *, names: dict[bytes, bytes] | None = None
) -> None:
    """Write how long an attempt may take that begins `elapsed` after the end of the request."""
    expected = terms.expected(elapsed)
    if terms.tell and expected > 0:
        milliseconds = b"%d" % round(expected * 1000)
        if names is None or EXPECTED_TIMEOUT in names:
            headers.set(EXPECTED_TIMEOUT, milliseconds)
        else:
            headers.add(EXPECTED_TIMEOUT, milliseconds)
    if terms.tells_grpc and expected > 0:
        headers.set(grpc_timeout.NAME, grpc_timeout.render(expected))


def _grpc_timeout(headers: Headers, forwarding: Forwarding) -> float:
    """The client's own timeout, within the route's bounds; 0 is none (`FilterUtility::finalTimeout`)."""
    longest = forwarding.max_grpc_timeout or 0.0
    timeout = grpc_timeout.parse(headers.joined(grpc_timeout.NAME) or b"") or 0.0
    if forwarding.grpc_timeout_offset < timeout:
        timeout -= forwarding.grpc_timeout_offset
    return longest if longest and not 0 < timeout <= longest else timeout


_BOOLEANS = {b"true": True, b"false": False}


def _seconds(value: bytes, default: float) -> float:
    """What is no number of 64 bits asks for nothing."""
    digits = value.removeprefix(b"+")
    if not digits.isdigit() or len(digits) > MAX_DIGITS:
        return default
    milliseconds = int(digits)
    return milliseconds / 1000 if milliseconds < 2**64 else default
