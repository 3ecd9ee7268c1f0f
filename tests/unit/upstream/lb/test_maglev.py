"""MAGLEV. That its tables are Envoy's, tests/parity shows."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from proxy import registry
from proxy.config.cluster import Host
from proxy.config.lb import Hashing, LoadBalancing
from proxy.upstream.lb import POLICIES
from proxy.upstream.lb.maglev import Maglev
from tests.unit.upstream.balancing import hosts, surroundings


def table(group: list[Host], size: int = 251) -> Maglev:
    found = Maglev(surroundings(LoadBalancing(hashing=Hashing(table_size=size))))
    total = sum(host.weight for host in group)
    found.update([(host, host.weight / total) for host in group])
    return found


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_hosts_have_places_in_proportion(weights: list[int]) -> None:
    found = table(group := hosts(weights))
    places = [sum(found.find(place) is host for place in range(251)) for host in group]
    assert sum(places) == 251
    share = 251 / sum(weights)
    assert all(abs(count - weight * share) <= 1 + max(weights) for count, weight in zip(places, weights, strict=True))
    assert (found.fewest, found.most) == (min(places), max(places))


@given(st.integers(3, 10), st.integers(0, 9))
def test_few_requests_move_but_those_of_a_host_that_goes(count: int, gone: int) -> None:
    group = hosts([1] * count)
    left = [host for number, host in enumerate(group) if number != gone % count]
    before, after = table(group, 1009), table(left, 1009)
    moved = sum(before.find(place) is not after.find(place) for place in range(1009) if before.find(place) in left)
    assert moved < 1009 / 3


def test_another_attempt_turns_most_bits() -> None:
    found = table(hosts([1, 1, 1]))
    number = random.Random(3).getrandbits(64)
    assert found.find(number, 1) is found.find(number ^ (2**64 - 1))
    assert {found.find(number, attempt) for attempt in range(20)} == set(hosts([1, 1, 1]))


def test_nobody() -> None:
    assert table([]).find(1) is None


def test_its_line_in_the_table() -> None:
    assert registry.load(POLICIES, "MAGLEV") is Maglev
