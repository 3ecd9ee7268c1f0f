"""RANDOM."""

from __future__ import annotations

from collections import Counter

from proxy import registry
from proxy.upstream.lb import POLICIES
from proxy.upstream.lb.random import RandomHost
from tests.unit.upstream.balancing import hosts, surroundings


def test_every_host_as_often_as_the_others_whatever_its_weight() -> None:
    balancer = RandomHost(surroundings())
    balancer.update(group := hosts([1, 50, 1]))
    drawn = Counter(balancer.pick() for _ in range(3000))
    assert drawn.keys() == set(group)
    assert all(800 < count < 1200 for count in drawn.values())


def test_nobody() -> None:
    assert RandomHost(surroundings()).pick() is None


def test_its_line_in_the_table() -> None:
    assert registry.load(POLICIES, "RANDOM") is RandomHost
