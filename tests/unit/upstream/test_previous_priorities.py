"""Which priorities a retry leaves."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from proxy.config.common import SocketAddress
from proxy.upstream.previous_priorities import PreviousPriorities
from proxy.upstream.priority_load import Level, Loads, loads, without
from proxy.upstream.subset_balancer import SingleHost


class Some(SingleHost):
    """Hosts whose port is their priority; one of each."""

    def __init__(self, priorities: int) -> None:
        super().__init__()
        self.levels = [Level(1, 1, 0, 0, 1, 0, 1)] * priorities

    def priority_of(self, address: object) -> int | None:  # type: ignore[override]
        assert isinstance(address, SocketAddress)
        return address.port if address.port < len(self.levels) else None

    def without(self, excluded: Collection[int]) -> Loads | None:  # type: ignore[override]
        return without(self.levels, loads(self.levels), excluded, 140)


@pytest.mark.parametrize(
    ("frequency", "expected"), [(1, [None, 1, 2, 0, 1]), (2, [None, None, 1, 1, 2, 2, 0]), (3, [None, None, None, 1])]
)
def test_those_that_have_been_tried(frequency: int, expected: list[int | None]) -> None:
    """None: where it went at first."""
    hosts, previous = Some(3), PreviousPriorities(frequency)
    for priority in expected:
        found = previous.loads(hosts)
        assert (None if found is None else found.healthy.index(100)) == priority
        previous.tried(SocketAddress("h", priority or 0))


def test_a_host_that_has_left_was_of_none() -> None:
    previous = PreviousPriorities(1)
    previous.tried(SocketAddress("h", 7))
    found = previous.loads(Some(2))
    assert found is not None
    assert found.healthy == (100, 0)


def test_who_has_no_priorities() -> None:
    previous = PreviousPriorities(1)
    previous.tried(SocketAddress("h", 0))
    assert previous.loads(SingleHost()) is None


def test_what_rounding_leaves_goes_to_the_first() -> None:
    levels = [Level(10, 10, 0, 0, 10, 0, 10), *[Level(10, 2, 1, 0, 2, 1, 10)] * 2]
    found = without(levels, loads(levels), {0}, 140)
    assert found is not None
    assert (found.healthy, found.degraded) == ((0, 35, 33), (0, 16, 16))
    assert sum(found.healthy + found.degraded) == 100
    assert without(levels, loads(levels), {0, 1, 2}, 140) is None
