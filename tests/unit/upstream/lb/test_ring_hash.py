"""RING_HASH. That its rings are Envoy's, tests/parity shows."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import registry
from proxy.config.cluster import Host
from proxy.config.lb import Hashing, LoadBalancing
from proxy.upstream.lb import POLICIES
from proxy.upstream.lb.ring_hash import RingHash
from tests.unit.upstream.balancing import hosts, surroundings

NUMBERS = [random.Random(7).getrandbits(64) for _ in range(500)]


def ring(group: list[Host], **options: object) -> RingHash:
    found = RingHash(surroundings(LoadBalancing(hashing=Hashing(**options))))  # type: ignore[arg-type]
    total = sum(host.weight for host in group)
    found.update([(host, host.weight / total) for host in group])
    return found


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 200))
def test_hosts_stand_on_it_in_proportion(weights: list[int], size: int) -> None:
    found = ring(group := hosts(weights), minimum_ring_size=size)
    assert found.size >= size
    places = [found._hosts.count(host) for host in group]
    share = found.size / sum(weights)
    assert all(abs(count - weight * share) < 2 for count, weight in zip(places, weights, strict=True))
    assert (found.fewest, found.most) == (min(places), max(places))


def test_a_ring_has_its_limit() -> None:
    assert ring(hosts([1] * 50), minimum_ring_size=4, maximum_ring_size=10).size == 10


@given(st.integers(2, 12), st.integers(0, 11))
def test_only_requests_of_a_host_that_goes_move(count: int, gone: int) -> None:
    group = hosts([1] * count)
    left = [host for number, host in enumerate(group) if number != gone % count]
    before, after = ring(group, minimum_ring_size=count * 20), ring(left, minimum_ring_size=(count - 1) * 20)
    for number in NUMBERS[:100]:
        host = before.find(number)
        assert after.find(number) is host or host not in left


def test_another_attempt_is_another_place() -> None:
    found = ring(hosts([1, 1, 1]))
    assert {found.find(NUMBERS[0], attempt) for attempt in range(20)} == set(hosts([1, 1, 1]))


@pytest.mark.parametrize("number", [0, 2**64 - 1])
def test_the_ring_is_closed(number: int) -> None:
    found = ring(hosts([1, 1]))
    assert found.find(number) is found._hosts[0]


def test_names_and_keys_stand_for_hosts() -> None:
    plain = hosts([1, 1])
    named = [Host(one.slot, one.address, hostname=f"h{one.slot}") for one in plain]
    by_address, by_name = ring(named), ring(named, use_hostname=True)
    assert by_address._hashes == ring(plain)._hashes
    assert by_name._hashes != by_address._hashes
    keyed = [Host(one.slot, one.address, metadata=(("envoy.lb", f'{{"hash_key": "h{one.slot}"}}'),)) for one in plain]
    assert ring(keyed)._hashes == by_name._hashes


def test_nobody() -> None:
    assert ring([]).find(1) is None


def test_its_line_in_the_table() -> None:
    assert registry.load(POLICIES, "RING_HASH") is RingHash
