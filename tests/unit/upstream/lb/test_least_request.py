"""LEAST_REQUEST."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import registry
from proxy.config.cluster import Host
from proxy.config.lb import LeastRequest as Options
from proxy.config.lb import LoadBalancing
from proxy.upstream.lb import POLICIES
from proxy.upstream.lb.least_request import LeastRequest
from tests.unit.upstream.balancing import hosts, surroundings


class Rig:
    """A balancer over hosts of `weights`, whose requests are in `active`."""

    def __init__(self, weights: list[int], seed: int = 0, **options: object) -> None:
        self.active: Counter[Host] = Counter()
        config = LoadBalancing(least_request=Options(**options))  # type: ignore[arg-type]
        self.balancer = LeastRequest(surroundings(config, seed, self.active.__getitem__))
        self.hosts = hosts(weights)
        self.balancer.update(self.hosts)

    def pick(self) -> Host:
        picked = self.balancer.pick()
        assert picked is not None
        return picked


def test_of_two_that_are_drawn_the_less_busy_one() -> None:
    rig = Rig([1, 1])
    rig.active[rig.hosts[0]] = 5
    drawn = Counter(rig.pick() for _ in range(400))
    assert 60 < drawn[rig.hosts[0]] < 140  # only where both draws are of it: a quarter


def test_more_choices_find_the_least_busy_one_more_often() -> None:
    rig = Rig([1] * 4, choice_count=16)
    rig.active.update(dict.fromkeys(rig.hosts[1:], 5))
    assert Counter(rig.pick() for _ in range(400))[rig.hosts[0]] > 380


@given(st.lists(st.integers(0, 5), min_size=2, max_size=8), st.integers(0, 100))
def test_a_full_scan_finds_one_of_the_least_busy(requests: list[int], seed: int) -> None:
    rig = Rig([1] * len(requests), seed, full_scan=True)
    rig.active.update(dict(zip(rig.hosts, requests, strict=True)))
    assert rig.active[rig.pick()] == min(requests)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(0, 100))
def test_idle_hosts_are_served_by_weight(weights: list[int], seed: int) -> None:
    rig = Rig(weights, seed)
    if len(set(weights)) > 1:
        counts = Counter(rig.pick() for _ in range(10 * sum(weights)))
        for one in rig.hosts:
            assert abs(counts[one] - 10 * one.weight) <= one.weight + 1


@pytest.mark.parametrize(("bias", "expected"), [(0.0, 200), (1.0, 40), (2.0, 9)])
def test_requests_weigh_as_much_as_the_bias_says(bias: float, expected: int) -> None:
    """One host has weight 2 and 9 requests, the other weight 1 and none: 2 / 10^bias to 1."""
    rig = Rig([2, 1], active_request_bias=bias)
    rig.active[rig.hosts[0]] = 9
    counts = Counter(rig.pick() for _ in range(300 if bias == 0 else 240 if bias == 1 else 459))
    assert abs(counts[rig.hosts[0]] - expected) <= 1


def test_one_and_none() -> None:
    rig = Rig([7])
    assert rig.pick() is rig.hosts[0]
    rig.balancer.update(())
    assert rig.balancer.pick() is None


def test_its_line_in_the_table() -> None:
    assert registry.load(POLICIES, "LEAST_REQUEST") is LeastRequest
