"""Who decides hears of hosts that other workers have found."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from proxy.upstream.outlier.suspects import Suspects
from proxy.upstream.tables import CLUSTER_GAUGES, ClusterColumn
from shm.table import TableWriter, create_table


@pytest.fixture
def fd() -> Iterator[int]:
    fd = create_table("clusters", rows=1, columns=len(ClusterColumn), gauges=CLUSTER_GAUGES, writers=4)
    yield fd
    os.close(fd)


def test_the_rows_of_hosts_or_that_some_were_missed(fd: int) -> None:
    decider, *others = (Suspects(TableWriter(fd, number), 0) for number in range(3))
    assert list(decider.news()) == [None]  # it cannot know what was before
    assert list(decider.news()) == []
    others[0].tell(7)
    others[1].tell(0)
    assert list(decider.news()) == [7, 0]
    assert list(decider.news()) == []
    others[0].tell(7)
    assert list(decider.news()) == [7]
    others[0].tell(8)
    others[0].tell(9)
    assert list(decider.news()) == [None]
    decider.leave()
    assert list(decider.news()) == [None]


def test_a_writer_that_comes_later_is_heard(fd: int) -> None:
    decider = Suspects(TableWriter(fd, 0), 0)
    list(decider.news())
    Suspects(TableWriter(fd, 3), 0).tell(5)
    assert list(decider.news()) == [5]
