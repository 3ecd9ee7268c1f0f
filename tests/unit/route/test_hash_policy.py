"""The hash of a request. That it is Envoy's is shown in `tests/parity/test_hash_policies.py`."""

from __future__ import annotations

import pytest
import xxhash

from proxy.config.common import PipeAddress, SocketAddress
from proxy.config.hash_policy import CookieMaker, HashPolicy
from proxy.http.headers import Headers
from proxy.http.stream_data import HashableText
from proxy.route.hash_policy import RequestHash, Subject
from tests.unit.route.requests import request

KEY = HashPolicy("header", "x-key")
QUERY = HashPolicy("query_parameter", "q")
CLIENT = SocketAddress("10.0.0.1", 4711)


def xx(*parts: bytes) -> int:
    hashed = 0
    for part in parts:
        hashed = xxhash.xxh64_intdigest(part, hashed)
    return hashed


def number(*policies: HashPolicy, path: str = "/", **lines: str) -> int | None:
    head = request(path, headers=tuple((name.replace("_", "-"), value) for name, value in lines.items()))
    state = {"hashable": HashableText(b"v"), "text": b"v"}
    return RequestHash(policies).number(Subject(head, CLIENT, state))


def test_nothing_to_hash() -> None:
    assert number(KEY, QUERY, HashPolicy("cookie", "k")) is None


def test_lines_of_a_header_in_whatever_order() -> None:
    both = [request(headers=(("x-key", one), ("x-key", other))) for one, other in (("a", "b"), ("b", "a"))]
    assert [RequestHash([KEY]).number(Subject(one, None)) for one in both] == [xx(b"a", b"b")] * 2


def test_a_rewritten_header() -> None:
    policy = HashPolicy("header", "x-key", pattern="[0-9]+", substitution="n")
    assert number(policy, x_key="user-12") == xx(b"user-n")


def test_the_client_without_its_port() -> None:
    assert number(HashPolicy("source_ip")) == xx(b"10.0.0.1")
    assert RequestHash([HashPolicy("source_ip")]).number(Subject(request(), PipeAddress("/s"))) is None


def test_filter_state_that_may_be_hashed() -> None:
    assert number(HashPolicy("filter_state", "hashable")) == xx(b"v")
    assert number(HashPolicy("filter_state", "text")) is None


def test_several_are_combined_so_that_the_same_twice_is_not_nothing() -> None:
    key = xx(b"a")
    assert number(KEY, KEY, x_key="a") == ((key << 1 | key >> 63) & (2**64 - 1)) ^ key
    assert number(QUERY, KEY, path="/?q=1", x_key="a") != number(KEY, QUERY, path="/?q=1", x_key="a")


def test_what_follows_a_terminal_policy_counts_only_if_that_has_nothing() -> None:
    terminal = HashPolicy("header", "x-key", terminal=True)
    assert number(terminal, QUERY, path="/?q=1", x_key="a") == xx(b"a")
    assert number(terminal, QUERY, path="/?q=1") == xx(b"1")


def test_a_cookie_is_made_where_somebody_makes_it() -> None:
    policy = RequestHash([HashPolicy("cookie", "k", cookie=CookieMaker())])
    assert policy.number(Subject(request(), None)) is None
    assert policy.number(Subject(request(), None, bake=lambda name, maker: b"value")) == xx(b"value")
    there = request(headers=(("cookie", "k=theirs"),))
    assert policy.number(Subject(there, None, bake=lambda name, maker: b"value")) == xx(b"theirs")


@pytest.mark.parametrize(
    ("policy", "settled"),
    [
        (KEY, True),
        (HashPolicy("source_ip"), True),
        (HashPolicy("cookie", "k"), True),
        (HashPolicy("cookie", "k", cookie=CookieMaker()), False),
        (HashPolicy("cookie", "there", cookie=CookieMaker()), True),
        (HashPolicy("header", ":path"), False),
        (QUERY, False),
        (HashPolicy("filter_state", "s"), False),
    ],
)
def test_what_header_lines_and_client_settle(policy: HashPolicy, settled: bool) -> None:
    assert RequestHash([policy]).settled(Headers([(b"cookie", b"there=1")])) is settled
