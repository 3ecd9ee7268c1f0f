"""What a request's own headers ask of the router, and what the upstream is told (features §13 rules 24 and 27)."""

from __future__ import annotations

from proxy.http.headers import Headers
from proxy.http.identity import ROUTER_HEADERS

EXPECTED_TIMEOUT = b"x-envoy-expected-rq-timeout-ms"
TIMEOUT = b"x-envoy-upstream-rq-timeout-ms"
NO_CONTENT_ON_TIMEOUT = b"x-envoy-upstream-rq-timeout-alt-response"

MAX_DIGITS = 20  # of a number of 64 bits

_MAX_MILLISECONDS = 2**64 - 1


def settle(headers: Headers, timeout: float, *, tell: bool) -> tuple[float, bool]:
    """Take the headers for the router out of `headers`, and `tell` the upstream how long we shall wait.

    Gives the timeout in seconds (0: none), `timeout` unless another was asked for, and whether its answer is an empty
    204. What callers from outside asked is gone already: whatever is left comes from inside, or from our own filters.
    """
    names = dict(headers.items)
    no_content = False
    if not ROUTER_HEADERS.isdisjoint(names):
        timeout = _timeout(headers.joined(TIMEOUT) or b"", timeout)
        no_content = NO_CONTENT_ON_TIMEOUT in names
        headers.items = [pair for pair in headers.items if pair[0] not in ROUTER_HEADERS]
    if tell and timeout > 0:
        milliseconds = b"%d" % round(timeout * 1000)
        if EXPECTED_TIMEOUT in names:
            headers.set(EXPECTED_TIMEOUT, milliseconds)
        else:
            headers.add(EXPECTED_TIMEOUT, milliseconds)
    return timeout, no_content


def _timeout(value: bytes, default: float) -> float:
    """Seconds. What is no number of 64 bits asks for nothing."""
    digits = value.removeprefix(b"+")
    if not digits.isdigit() or len(digits) > MAX_DIGITS:
        return default
    milliseconds = int(digits)
    return milliseconds / 1000 if milliseconds < 2**64 else default
