"""Which priorities a retry leaves."""

from __future__ import annotations

import pytest

from proxy.config.cluster import ClusterEndpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.upstream.host_set import HostSet
from proxy.upstream.previous_priorities import PreviousPriorities
from proxy.upstream.priority_load import Level, without
from proxy.upstream.subset_balancer import SingleHost


def hosts(priorities: int) -> HostSet:
    """One of each, whose port is its priority."""
    localities = (LocalityHosts(each, (Host(each, SocketAddress("h", each)),)) for each in range(priorities))
    return HostSet.of(ClusterEndpoints("c", 1, tuple(localities)))


@pytest.mark.parametrize(
    ("frequency", "expected"), [(1, [None, 1, 2, 0, 1]), (2, [None, None, 1, 1, 2, 2, 0]), (3, [None, None, None, 1])]
)
def test_those_that_have_been_tried(frequency: int, expected: list[int | None]) -> None:
    """None: where it went at first."""
    three, previous = hosts(3), PreviousPriorities(frequency)
    for priority in expected:
        found = previous.loads(three)
        assert (None if found is None else found.healthy.index(100)) == priority
        previous.tried(SocketAddress("h", priority or 0))


def test_a_host_that_has_left_was_of_none() -> None:
    previous = PreviousPriorities(1)
    previous.tried(SocketAddress("h", 7))
    found = previous.loads(hosts(2))
    assert found is not None
    assert found.healthy == (100, 0)


def test_who_has_no_priorities() -> None:
    previous = PreviousPriorities(1)
    previous.tried(SocketAddress("h", 0))
    single = SingleHost()
    assert previous.without_them(single) is single


def test_what_rounding_leaves_goes_to_the_first() -> None:
    levels = [Level(10, 10, 0, 0, 10, 0, 10), *[Level(10, 2, 1, 0, 2, 1, 10)] * 2]
    found = without(levels, {0}, 140)
    assert found is not None
    assert (found.healthy, found.degraded) == ((0, 35, 33), (0, 16, 16))
    assert sum(found.healthy + found.degraded) == 100
    assert without(levels, {0, 1, 2}, 140) is None
