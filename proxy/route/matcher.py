"""String and header matchers (`type.matcher.v3.StringMatcher`, `config.route.v3.HeaderMatcher`), compiled to closures.

A matcher is built once, when configuration is applied, and then only called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.config.common import HeaderMatcher, StringMatcher
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.route.regex import compile_regex


class RequestHead(Protocol):
    """What routing looks at: an exchange's `Request`."""

    @property
    def method(self) -> bytes: ...
    @property
    def scheme(self) -> bytes: ...
    @property
    def authority(self) -> bytes: ...
    @property
    def path(self) -> bytes: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def random(self) -> int:
        """A number drawn once per request, below 2**64: what decides about shares of requests."""
        ...

    @property
    def info(self) -> StreamInfo | None:
        """What is known of the request's exchange, while its route is looked for; None if nobody says."""
        ...


Predicate = Callable[[bytes], bool]
Lookup = Callable[[RequestHead], Sequence[bytes]]
HeaderPredicate = Callable[[RequestHead], bool]

# Names that Envoy's header map holds as one value: further lines are appended to it with ",". All other names keep
# their lines apart. (`content-length`, `host` and the like never come twice.)
JOINED = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"access-control-request-headers",
        b"access-control-request-method",
        b"access-control-request-private-network",
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-type",
        b"expect",
        b"grpc-accept-encoding",
        b"grpc-timeout",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"origin",
        b"pragma",
        b"proxy-status",
        b"referer",
        b"user-agent",
        b"via",
        b"x-client-trace-id",
        b"x-envoy-attempt-count",
        b"x-envoy-decorator-operation",
        b"x-envoy-downstream-service-cluster",
        b"x-envoy-downstream-service-node",
        b"x-envoy-external-address",
        b"x-envoy-is-timeout-retry",
        b"x-envoy-original-host",
        b"x-envoy-original-path",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-request-id",
    }
)

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def compile_string(matcher: StringMatcher) -> Predicate:
    """`matcher` as a predicate. `ignore_case` folds ASCII letters alone, as `absl::EqualsIgnoreCase` does."""
    if matcher.kind == "regex":
        return compile_regex(matcher.value)
    wanted = matcher.value.encode()
    if matcher.ignore_case:
        lowered = _compile_literal(matcher.kind, wanted.lower())
        return lambda value: lowered(value.lower())
    return _compile_literal(matcher.kind, wanted)


def _compile_literal(kind: str, wanted: bytes) -> Predicate:
    if kind == "exact":
        return lambda value: value == wanted
    if kind == "prefix":
        return lambda value: value.startswith(wanted)
    if kind == "suffix":
        return lambda value: value.endswith(wanted)
    return lambda value: wanted in value


def compile_header(matcher: HeaderMatcher) -> HeaderPredicate:
    """`matcher` over a request head.

    Of several lines of one name, one that matches is enough; `invert` negates the verdict on all of them.
    """
    find = lookup(matcher.name)
    value_matches = _value_predicate(matcher)
    invert = matcher.invert
    if value_matches is None:
        return _presence(find, wanted=(matcher.present is not False) != invert, matcher=matcher)
    missing = value_matches(b"") != invert if matcher.treat_missing_as_empty else False

    def matches(head: RequestHead) -> bool:
        values = find(head)
        return any(map(value_matches, values)) != invert if values else missing

    return matches


def _presence(find: Lookup, *, wanted: bool, matcher: HeaderMatcher) -> HeaderPredicate:
    if matcher.treat_missing_as_empty:  # nothing is ever missing then
        return lambda head: wanted
    return lambda head: bool(find(head)) == wanted


def _value_predicate(matcher: HeaderMatcher) -> Predicate | None:
    """What the header's value must satisfy; None if only presence counts."""
    if matcher.string is not None:
        return compile_string(matcher.string)
    if matcher.range is not None:
        return _compile_range(*matcher.range)
    return None


def _compile_range(start: int, end: int) -> Predicate:
    def in_range(value: bytes) -> bool:
        number = parse_int64(value)
        return number is not None and start <= number < end

    return in_range


def parse_int64(value: bytes) -> int | None:
    """A decimal integer as `absl::SimpleAtoi<int64_t>` reads it: optional sign, surrounding white space; else None."""
    text = value.strip(b" \t\n\v\f\r")
    digits = text[1:] if text[:1] in (b"+", b"-") else text
    if not digits.isdigit() or len(digits) > 64:
        return None
    number = int(text)
    return number if _INT64_MIN <= number <= _INT64_MAX else None


def lookup(name: str) -> Lookup:
    """How to read the lines of header `name`. `host` is an alias of `:authority`, as in Envoy's request header map."""
    if name == ":path":
        return lambda head: (head.path,)
    if name == ":method":
        return lambda head: (head.method,)
    if name in (":authority", "host"):
        return lambda head: (head.authority,) if head.authority else ()
    if name == ":scheme":
        return lambda head: (head.scheme,)
    key = name.encode()
    if key in JOINED:
        return lambda head: () if (value := head.headers.joined(key)) is None else (value,)
    return lambda head: head.headers.get_all(key)
