"""Priorities' loads: Envoy's examples (docs "Priority levels", "Degraded endpoints", "Panic threshold"), and what holds
for any.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.priority_load import Level, Loads, availability, loads


def level(healthy: int, hosts: int = 100, degraded: int = 0, excluded: int = 0) -> Level:
    return Level(hosts, healthy, degraded, excluded, healthy, degraded, hosts - excluded)


@pytest.mark.parametrize(
    ("healthy", "shares"),
    [
        ((100, 100), (100, 0)),
        ((72, 72), (100, 0)),
        ((71, 71), (99, 1)),
        ((50, 50), (70, 30)),
        ((25, 100), (35, 65)),
        ((0, 100), (0, 100)),
        ((25, 25), (50, 50)),
        ((5, 0), (100, 0)),
        ((100, 100, 100), (100, 0, 0)),
        ((25, 25, 100), (35, 35, 30)),
    ],
)
def test_envoys_table(healthy: tuple[int, ...], shares: tuple[int, ...]) -> None:
    found = loads([level(one) for one in healthy], panic_threshold=0)
    assert found.healthy == shares
    assert not any(found.panic)


def test_degraded_hosts_take_what_is_left() -> None:
    found = loads([level(healthy=1, hosts=4, degraded=2)], panic_threshold=0)
    assert (found.healthy, found.degraded) == ((35,), (65,))


def test_no_panic_while_others_can_take_all() -> None:
    assert loads([level(1, 10), level(10, 10)]).panic == (False, False)


def test_panic_of_one_priority() -> None:
    found = loads([level(0, 4), level(2, 4)])
    assert found.panic == (True, False)
    assert found.healthy == (0, 100)


def test_total_panic_goes_by_the_number_of_hosts() -> None:
    found = loads([level(0, 1), level(0, 2)])
    assert found == Loads((34, 66), (0, 0), (True, True))


def test_nobody_and_no_panic() -> None:
    assert loads([level(0, 3), level(0, 3)], panic_threshold=0) == Loads((100, 0), (0, 0), (False, False))


def test_without_any_priority() -> None:
    assert loads(()).choose(77) == (0, False)


LEVELS = st.builds(
    lambda hosts, healthy, degraded: level(min(hosts, healthy), hosts, min(hosts - min(hosts, healthy), degraded)),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 20),
)


@given(st.lists(LEVELS, min_size=1, max_size=5), st.integers(1, 300), st.integers(0, 100))
def test_loads_are_whole_and_are_met(levels: list[Level], factor: int, threshold: int) -> None:
    found = loads(levels, overprovisioning_factor=factor, panic_threshold=threshold)
    assert sum(found.healthy) + sum(found.degraded) == 100
    drawn = Counter(found.choose(number) for number in range(100))
    wanted = {(index, False): load for index, load in enumerate(found.healthy) if load}
    wanted |= {(index, True): load for index, load in enumerate(found.degraded) if load}
    assert drawn == wanted
    if any(any(availability(one, factor)) for one in levels):
        for index, one in enumerate(levels):
            assert not found.healthy[index] or one.healthy or found.panic[index]
            assert not found.degraded[index] or one.degraded
