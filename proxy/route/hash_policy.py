"""The hash of a request, by which RING_HASH and MAGLEV find its host: `RouteAction.hash_policy`, compiled.

Equal to Envoy's (`source/common/http/hash_policy.cc`) for the same request, so both send it to the same host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import xxhash

from proxy.config.common import Address, SocketAddress
from proxy.config.hash_policy import CookieMaker, HashPolicy
from proxy.http.cookies import cookie
from proxy.http.headers import Headers
from proxy.http.stream_data import HashableText, StateObject
from proxy.http.stream_info import StreamInfo
from proxy.route.conditions import first_value
from proxy.route.matcher import RequestHead, lookup
from proxy.route.substitution import compile_substitution

_MASK = 2**64 - 1


class Subject(NamedTuple):
    """What is hashed of: a request of `client`, with the `state` that filters have left at it. `bake` is asked for the
    value of a cookie that is to be made; without it none is.
    """

    request: RequestHead
    client: Address | None
    state: Mapping[str, StateObject] | None = None
    bake: Callable[[str, CookieMaker], bytes] | None = None


def subject(request: RequestHead) -> Subject:
    """Of a request whose route is looked for: no cookie is made yet."""
    info = request.info
    return Subject(request, None) if info is None else Subject(request, client_of(info), info.filter_state)


def client_of(info: StreamInfo) -> Address | None:
    """Who sent the request of `info`, as far as it is known."""
    if info.downstream_remote is not None or info.connection is None:
        return info.downstream_remote
    return info.connection.remote


_Method = Callable[[Subject], int | None]


class RequestHash:
    """`policies`, of which there is at least one. `headers` are the names of the headers that are looked at."""

    __slots__ = ("_by_head", "_made", "_methods", "headers")

    def __init__(self, policies: Sequence[HashPolicy]) -> None:
        self._methods: list[tuple[_Method, bool]] = [(_method(policy), policy.terminal) for policy in policies]
        self._by_head = all(_by_header_lines(policy) for policy in policies)
        self._made = [policy.name.encode() for policy in policies if policy.cookie is not None]
        self.headers = frozenset(policy.name.encode() for policy in policies if policy.kind == "header")

    def number(self, subject: Subject) -> int | None:
        """The hash (64 bits); None if there is nothing of what is to be hashed."""
        found: int | None = None
        for method, terminal in self._methods:
            new = method(subject)
            if new is not None:  # rotated, so that the same twice does not come to nothing
                found = new if found is None else ((found << 1 | found >> 63) & _MASK) ^ new
            if terminal and found is not None:
                break
        return found

    def settled(self, headers: Headers) -> bool:
        """Whether all requests of one client with these header lines have the same hash, and none gets a cookie."""
        return self._by_head and all(cookie(headers, name) for name in self._made)


def address_hash(address: Address | None) -> int | None:
    """The hash of an IP address without its port; None if there is none."""
    return (
        xxhash.xxh64_intdigest(address.host.encode()) if isinstance(address, SocketAddress) and address.host else None
    )


def _by_header_lines(policy: HashPolicy) -> bool:
    return policy.kind in ("cookie", "source_ip") or (policy.kind == "header" and policy.name != ":path")


def _method(policy: HashPolicy) -> _Method:
    return _METHODS[policy.kind](policy)


def _header(policy: HashPolicy) -> _Method:
    find = lookup(policy.name)
    rewrite = compile_substitution(policy.pattern, policy.substitution) if policy.pattern else None

    def method(subject: Subject) -> int | None:
        values = find(subject.request)
        if not values:
            return None
        hashed = 0
        for value in sorted(values if rewrite is None else map(rewrite, values)):  # in whatever order they came
            hashed = xxhash.xxh64_intdigest(value, hashed)
        return hashed

    return method


def _cookie(policy: HashPolicy) -> _Method:
    name, maker = policy.name.encode(), policy.cookie

    def method(subject: Subject) -> int | None:
        value = cookie(subject.request.headers, name)
        if not value and maker is not None and subject.bake is not None:
            value = subject.bake(policy.name, maker)
        return xxhash.xxh64_intdigest(value) if value else None

    return method


def _source_ip(policy: HashPolicy) -> _Method:
    return lambda subject: address_hash(subject.client)


def _query_parameter(policy: HashPolicy) -> _Method:
    name = policy.name.encode()

    def method(subject: Subject) -> int | None:
        value = first_value(subject.request.path, name)
        return None if value is None else xxhash.xxh64_intdigest(value)

    return method


def _filter_state(policy: HashPolicy) -> _Method:
    def method(subject: Subject) -> int | None:
        found = (subject.state or {}).get(policy.name)
        return xxhash.xxh64_intdigest(found) if isinstance(found, HashableText) else None

    return method


_METHODS: Mapping[str, Callable[[HashPolicy], _Method]] = {
    "header": _header,
    "cookie": _cookie,
    "source_ip": _source_ip,
    "query_parameter": _query_parameter,
    "filter_state": _filter_state,
}
