"""Whether a request is to be tried again: `config.route.v3.RetryPolicy` and the request's own wishes, as a table of
conditions. No I/O, no clock; the waiting is `backoff`'s and the router's (features §13 rule 46).
"""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

from proxy.config.common import HeaderMatcher
from proxy.config.forwarding import RetryPolicy
from proxy.errors import Flag, ProxyError
from proxy.http.headers import Headers
from proxy.route.backoff import BackOff
from proxy.route.host_predicates import compile_rejects
from proxy.route.matcher import HeaderPredicate, RequestHead, compile_header

Conditions = frozenset[str]

NAMES: Conditions = frozenset(
    {
        "5xx",
        "gateway-error",
        "connect-failure",
        "envoy-ratelimited",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "reset",
        "reset-before-request",
        "http3-post-connect-failure",
    }
)
"""`x-envoy-retry-on`. HTTP/3 is spoken by no upstream of ours."""

_GRPC_STATUS = {
    b"1": "cancelled",
    b"4": "deadline-exceeded",
    b"8": "resource-exhausted",
    b"13": "internal",
    b"14": "unavailable",
}
GRPC_NAMES: Conditions = frozenset(_GRPC_STATUS.values())
"""`x-envoy-retry-grpc-on`. `retry_on` of a configuration takes both."""

_GATEWAY_ERRORS = frozenset({502, 503, 504})
_CONFLICT = 409
_ANY_RESET: Conditions = frozenset({"reset", "5xx", "gateway-error"})

_RESETS = frozenset(
    {
        Flag.UPSTREAM_CONNECTION_FAILURE,
        Flag.UPSTREAM_CONNECTION_TERMINATION,
        Flag.UPSTREAM_REMOTE_RESET,
        Flag.UPSTREAM_PROTOCOL_ERROR,
        Flag.UPSTREAM_REQUEST_TIMEOUT,
        Flag.UPSTREAM_MAX_STREAM_DURATION_REACHED,
    }
)
"""What ends an attempt without a response, by the flag of its error. A full breaker (UO) is never tried again."""

RATELIMITED = b"x-envoy-ratelimited"
RETRY_ON = b"x-envoy-retry-on"
RETRY_GRPC_ON = b"x-envoy-retry-grpc-on"
MAX_RETRIES = b"x-envoy-max-retries"
STATUS_CODES = b"x-envoy-retriable-status-codes"
HEADER_NAMES = b"x-envoy-retriable-header-names"


def parse_names(text: str) -> Conditions:
    """What a comma-separated list names."""
    return frozenset(filter(None, map(str.strip, text.split(","))))


class RetryRules:
    """A route's policy, compiled once."""

    __slots__ = ("_codes", "_headers", "_on", "_request_headers", "policy", "rejects")

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self._on = frozenset(policy.retry_on)
        self._codes = frozenset(policy.retriable_status_codes)
        self._headers = tuple(map(compile_header, policy.retriable_headers))
        self._request_headers = tuple(map(compile_header, policy.retriable_request_headers))
        self.rejects = compile_rejects(policy)

    def begin(self, request: RequestHead) -> RetryState | None:
        """What may be retried of `request`, whose own wishes (`x-envoy-retry-on`, …) join the policy; None: nothing."""
        asked = request.headers
        retry_on, grpc_on = asked.joined(RETRY_ON), asked.joined(RETRY_GRPC_ON)
        conditions = self._on
        if retry_on is not None:
            conditions |= parse_names(retry_on.decode("latin-1")) & NAMES
        if grpc_on is not None:
            conditions |= parse_names(grpc_on.decode("latin-1")) & GRPC_NAMES
        if self._request_headers and not any(matches(request) for matches in self._request_headers):
            conditions = frozenset()
        if not conditions:
            return None
        number = _number(asked.joined(MAX_RETRIES) or b"")
        codes, headers = self._codes, self._headers
        if text := asked.joined(STATUS_CODES):
            codes |= {code for code in map(_number, text.split(b",")) if code is not None}
        if text := asked.joined(HEADER_NAMES):
            headers += tuple(_named(text.split(b",")))
        retries = self.policy.num_retries if number is None else number
        return RetryState(conditions, self, retries, codes, headers)


NO_POLICY = RetryRules(RetryPolicy())
"""Of routes that have none: requests may still ask for retries."""


class RetryState:
    """One request's conditions and the retries that are left, by `rules`."""

    __slots__ = ("_codes", "_headers", "_on", "backoff", "policy", "rejects", "remaining")

    def __init__(
        self,
        conditions: Conditions,
        rules: RetryRules,
        retries: int,
        codes: frozenset[int] = frozenset(),
        headers: tuple[HeaderPredicate, ...] = (),
    ) -> None:
        self._on = conditions
        self._codes = codes
        self._headers = headers
        self.policy = policy = rules.policy
        self.rejects = rules.rejects
        self.remaining = retries
        self.backoff = BackOff(policy.base_interval, policy.max_interval)

    @property
    def conditions(self) -> Conditions:
        """On which a retry is wanted."""
        return self._on

    def wants_response(self, status: int, headers: Headers) -> bool:
        """Whether a response of this head is one to be retried, however many retries are left."""
        on = self._on
        if RATELIMITED in headers:
            return "envoy-ratelimited" in on
        if "5xx" in on and 500 <= status < 600:
            return True
        if "gateway-error" in on and status in _GATEWAY_ERRORS:
            return True
        if "retriable-4xx" in on and status == _CONFLICT:
            return True
        if "retriable-status-codes" in on and status in self._codes:
            return True
        if "retriable-headers" in on and self._headers:
            head = _head(status, headers)
            if any(matches(head) for matches in self._headers):
                return True
        grpc_status = headers.get(b"grpc-status")
        return grpc_status is not None and _GRPC_STATUS.get(grpc_status.strip()) in on

    def wants_reset(self, error: ProxyError, *, request_started: bool) -> bool:
        """Whether an attempt that ended by `error` is one to be retried. `request_started`: it had a connection, so
        that the host may have acted on it.
        """
        on = self._on
        if error.flag not in _RESETS:
            return False
        if error.flag is Flag.UPSTREAM_CONNECTION_FAILURE and "connect-failure" in on:
            return True
        if "reset-before-request" in on and not request_started:
            return True
        if error.flag is Flag.UPSTREAM_REMOTE_RESET and error.retryable == "always" and "refused-stream" in on:
            return True
        return not on.isdisjoint(_ANY_RESET)


def _head(status: int, headers: Headers) -> RequestHead:
    """A response's head for matchers, which ask requests as a rule."""
    headers = Headers([(b":status", b"%d" % status), *headers])
    return SimpleNamespace(method=b"", scheme=b"", authority=b"", path=b"", headers=headers, random=0)


def _named(names: Iterable[bytes]) -> Iterable[HeaderPredicate]:
    for name in filter(None, (name.strip() for name in names)):
        yield compile_header(HeaderMatcher(name.decode("latin-1").lower()))


def _number(text: bytes) -> int | None:
    """What `absl::SimpleAtoi` makes of it, for numbers of 32 bits."""
    digits = text.strip().removeprefix(b"+")
    if not digits.isdigit() or len(digits) > 20:
        return None
    number = int(digits)
    return number if number < 2**32 else None
