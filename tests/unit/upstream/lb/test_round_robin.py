"""Weighted round robin."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from proxy import registry
from proxy.config.cluster import Host
from proxy.upstream.lb import POLICIES
from proxy.upstream.lb.round_robin import RoundRobin
from tests.unit.upstream.balancing import hosts, surroundings

SEEDS = st.integers(0, 2**32)
WEIGHTS = st.lists(st.one_of(st.integers(1, 5), st.integers(1, 128)), min_size=1, max_size=8)


def picks(balancer: RoundRobin, count: int) -> list[Host]:
    found = [balancer.pick() for _ in range(count)]
    assert None not in found
    return [host for host in found if host is not None]


def assert_fair(sequence: list[Host], among: list[Host]) -> None:
    """Any two hosts were served in proportion to their weights, to within one pick of each."""
    counts = Counter(host.slot for host in sequence)
    for a in among:
        for b in among:
            difference = abs(Fraction(counts[a.slot], a.weight) - Fraction(counts[b.slot], b.weight))
            assert difference <= Fraction(1, a.weight) + Fraction(1, b.weight)


@given(WEIGHTS, SEEDS, st.integers(0, 300), st.integers(0, 300))
def test_every_window_is_in_proportion(weights: list[int], seed: int, start: int, length: int) -> None:
    balancer = RoundRobin(surroundings(seed=seed))
    balancer.update(group := hosts(weights))
    picks(balancer, start)
    assert_fair(picks(balancer, length), group)


@given(WEIGHTS, SEEDS)
def test_one_cycle_serves_each_host_its_weight(weights: list[int], seed: int) -> None:
    balancer = RoundRobin(surroundings(seed=seed))
    balancer.update(group := hosts(weights))
    counts = Counter(host.slot for host in picks(balancer, sum(weights)))
    assert all(abs(counts[host.slot] - host.weight) <= 1 for host in group)


@given(st.integers(1, 8), SEEDS)
def test_equal_weights_rotate(count: int, seed: int) -> None:
    balancer = RoundRobin(surroundings(seed=seed))
    balancer.update(hosts([3] * count))
    slots = [host.slot for host in picks(balancer, 3 * count)]
    assert sorted(slots[:count]) == list(range(count))
    assert slots[:count] * 3 == slots
    assert slots[0] == seed % count


@given(st.lists(st.tuples(WEIGHTS, st.integers(0, 5)), min_size=1, max_size=4), SEEDS)
def test_changes_of_hosts_and_weights(phases: list[tuple[list[int], int]], seed: int) -> None:
    balancer = RoundRobin(surroundings(seed=seed))
    for weights, first in phases:
        balancer.update(group := hosts(weights, first))
        sequence = picks(balancer, 200)
        assert set(sequence) <= set(group)
        assert_fair(sequence, group)


@given(st.integers(1, 8), SEEDS, st.integers(0, 30))
def test_equal_weights_go_on_after_an_update(count: int, seed: int, before: int) -> None:
    group = hosts([1] * count)
    updated, undisturbed = RoundRobin(surroundings(seed=seed)), RoundRobin(surroundings(seed=seed))
    updated.update(group)
    undisturbed.update(group)
    assert picks(updated, before) == picks(undisturbed, before)
    updated.update(group)
    assert picks(updated, 2 * count) == picks(undisturbed, 2 * count)


def test_heavy_hosts_are_spread() -> None:
    balancer = RoundRobin(surroundings(seed=0))
    balancer.update(hosts([5, 1, 1]))
    assert [host.slot for host in picks(balancer, 7)] == [0, 0, 0, 0, 1, 2, 0]


def test_no_hosts() -> None:
    balancer = RoundRobin(surroundings(seed=3))
    balancer.update([])
    assert balancer.pick() is None


def test_the_table_names_it() -> None:
    assert registry.load(POLICIES, "ROUND_ROBIN") is RoundRobin
