"""Bounded loads: who gets a request whose own host has too many."""

from __future__ import annotations

import pytest

from proxy.config.cluster import Host
from proxy.config.lb import Hashing, LoadBalancing
from proxy.upstream.bounded_load import BoundedLoad, twister
from proxy.upstream.lb.ring_hash import RingHash
from tests.unit.upstream.balancing import hosts, surroundings

NUMBER = 0x0123456789ABCDEF


def test_draws_are_those_of_c_plus_plus() -> None:
    """[rand.predef]: the 10000th number of a default-constructed `std::mt19937`, whose seed is 5489."""
    draws = twister(5489)
    for _ in range(9999):
        draws.getrandbits(32)
    assert draws.getrandbits(32) == 4123659995


def find(active: list[int], factor: int = 100, number: int = NUMBER) -> Host:
    config = LoadBalancing("RING_HASH", hashing=Hashing(balance_factor=factor))
    known = surroundings(config, active=lambda one: active[one.slot])._replace(active_in_cluster=lambda: sum(active))
    made = BoundedLoad(known, RingHash(known))
    group = hosts([1] * len(active))
    made.update([(one, 1 / len(group)) for one in group])
    found = made.find(number)
    assert found is not None
    return found


def test_a_host_with_room_is_the_one_of_the_table() -> None:
    assert find([0, 0, 0, 0]).slot == find([0, 0, 0, 0], factor=1000).slot


def test_a_host_that_has_too_much_gives_way_to_the_same_other_one() -> None:
    own = find([0, 0, 0, 0]).slot
    active = [9 if slot == own else 0 for slot in range(4)]
    others = {find(active).slot for _ in range(5)}
    assert len(others) == 1
    assert own not in others
    assert len({find(active, number=NUMBER + number).slot for number in range(40)}) > 1


@pytest.mark.parametrize("factor", [100, 150])
def test_loads_stay_within_the_bound(factor: int) -> None:
    """All requests have the same hash, and none ends."""
    active = [0] * 5
    for _ in range(50):
        active[find(active, factor).slot] += 1
    slots = -(-sum(active) * factor // 100)
    assert max(active) <= -(-slots // 5) + 1


def test_if_all_have_too_much_the_least_loaded_one() -> None:
    """Which can be where other workers were faster than the sum of them all."""
    config = LoadBalancing("RING_HASH", hashing=Hashing(balance_factor=100))
    active = [5, 3, 4]
    known = surroundings(config, active=lambda one: active[one.slot])
    made = BoundedLoad(known, RingHash(known))
    made.update([(one, 1 / 3) for one in hosts([1, 1, 1])])
    assert {made.find(number * 2**58) for number in range(32)} == {hosts([1, 1, 1])[1]}
    made.update([])
    assert made.find(1) is None
