"""Slow start: what part of its weight a host gets, and what balancers make of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import pytest

from proxy.config.cluster import Host
from proxy.config.lb import LoadBalancing
from proxy.config.lb import SlowStart as Config
from proxy.upstream.balancer import Balancer
from proxy.upstream.slow_start import SlowStart
from tests.unit.upstream.balancing import host, host_set, locality, surroundings

OLD, NEW = host(1), host(2)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("age", "aggression", "factor"),
    [
        (0.0, 1.0, 0.1),
        (5.0, 1.0, 0.1),
        (30.0, 1.0, 0.5),
        (30.0, 2.0, 0.5**0.5),
        (30.0, 0.5, 0.25),
        (59.9, 1.0, 59.9 / 60),
        (60.0, 1.0, 1.0),
        (1e6, 0.5, 1.0),
    ],
)
def test_the_curve(age: float, aggression: float, factor: float) -> None:
    clock = Clock()
    slow = SlowStart(Config(60.0, aggression), clock)
    slow.update([NEW])
    clock.now += age
    assert slow.factor(NEW) == pytest.approx(factor)
    assert slow.active is (age < 60)


def test_a_host_goes_on_where_it_is_and_begins_anew_once_it_was_away() -> None:
    clock = Clock()
    slow = SlowStart(Config(60.0), clock)
    slow.update([OLD])
    clock.now += 30
    slow.update([OLD, NEW])
    assert (slow.factor(OLD), slow.factor(NEW)) == (0.5, 0.1)
    slow.update([NEW])
    clock.now += 15
    slow.update([OLD, NEW])
    assert (slow.factor(OLD), slow.factor(NEW)) == (0.1, 0.25)


def test_who_is_not_healthy_has_all_of_its_weight() -> None:
    slow = SlowStart(Config(60.0), Clock())
    slow.update([OLD])
    assert slow.factor(NEW) == 1.0


def test_the_least_part_may_be_none_at_all() -> None:
    clock = Clock()
    slow = SlowStart(Config(1e9, 0.01, 0.0), clock)
    slow.update([NEW])
    assert slow.factor(NEW) > 0


class Rig:
    """A balancer over `OLD`, whose window is over, and `NEW`, which has just come."""

    def __init__(self, policy: Literal["ROUND_ROBIN", "LEAST_REQUEST"], weights: Sequence[int] = (1, 1)) -> None:
        self.clock = Clock()
        config = LoadBalancing(policy, slow_start=Config(60.0, min_weight=0.25))
        self.balancer = Balancer(surroundings(config)._replace(now=self.clock), lambda: None)
        old, new = host(1, weight=weights[0]), host(2, weight=weights[1])
        self.balancer.update(host_set(locality(0, old)))
        self.clock.now += 100
        self.balancer.update(host_set(locality(0, old, new)))

    def counts(self) -> Counter[int]:
        picked: list[Host | None] = [self.balancer.pick() for _ in range(1000)]
        return Counter(one.slot for one in picked if one is not None)


@pytest.mark.parametrize("policy", ["ROUND_ROBIN", "LEAST_REQUEST"])
@pytest.mark.parametrize(
    ("weights", "age", "share"), [((1, 1), 0, 0.2), ((1, 1), 30, 1 / 3), ((1, 4), 0, 0.5), ((1, 1), 60, 0.5)]
)
def test_shares(
    policy: Literal["ROUND_ROBIN", "LEAST_REQUEST"], weights: tuple[int, int], age: float, share: float
) -> None:
    rig = Rig(policy, weights)
    rig.clock.now += age
    assert rig.counts()[2] == pytest.approx(1000 * share, abs=5)


@pytest.mark.parametrize("policy", ["ROUND_ROBIN", "LEAST_REQUEST"])
def test_all_that_began_together_have_equal_shares(policy: Literal["ROUND_ROBIN", "LEAST_REQUEST"]) -> None:
    config = LoadBalancing(policy, slow_start=Config(60.0))
    balancer = Balancer(surroundings(config)._replace(now=Clock()), lambda: None)
    balancer.update(host_set(locality(0, OLD, NEW)))
    counts = Counter(one.slot for one in (balancer.pick() for _ in range(1000)) if one is not None)
    assert counts[1] == pytest.approx(500, abs=5)
