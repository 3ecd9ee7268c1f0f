"""Merged counters never fall; intervals hold what the last flush added."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from master.stats.aggregate import Aggregator, Intervals
from shm import fold
from shm.metrics import MetricsReader, MetricsWriter, create_region


class Regions:
    """Two live regions and a base."""

    def __init__(self) -> None:
        self.fds = [create_region(1), create_region(2), fold.create_base()]
        self.writers = [MetricsWriter(fd) for fd in self.fds[:2]]
        self.readers = [MetricsReader(fd) for fd in self.fds[:2]]
        self.base = fold.Base(self.fds[2])


@pytest.fixture
def regions() -> Iterator[Regions]:
    made = Regions()
    yield made
    for fd in made.fds:
        os.close(fd)


def test_regions_are_added_up_by_name(regions: Regions) -> None:
    for amount, writer in enumerate(regions.writers, 1):
        writer.counter("c").inc(amount)
        writer.gauge("g").add(amount)
        writer.histogram("h").record(7)
    merged = Aggregator(regions.base).read(regions.readers)
    assert merged.counters == {"c": 3}
    assert merged.gauges == {"g": 3}
    assert merged.histograms == {"h": {7: 2}}


def test_a_counter_stays_when_its_region_is_folded_and_gone(regions: Regions) -> None:
    aggregator = Aggregator(regions.base)
    regions.writers[0].counter("c").inc(5)
    regions.writers[1].counter("c").inc(2)
    assert aggregator.read(regions.readers).counters["c"] == 7
    regions.base.fold(regions.readers[0])
    assert aggregator.read(regions.readers).counters["c"] == 7
    assert aggregator.read(regions.readers[1:]).counters["c"] == 7


def test_a_region_that_cannot_be_read_for_a_moment_takes_nothing_away(regions: Regions) -> None:
    aggregator = Aggregator(regions.base)
    regions.writers[0].counter("c").inc(5)
    regions.writers[0].histogram("h").record(3)
    aggregator.read(regions.readers)
    without = aggregator.read(regions.readers[1:])
    assert without.counters["c"] == 5
    assert without.histograms["h"] == {3: 1}


def test_an_interval_holds_what_came_since_the_last_flush() -> None:
    intervals = Intervals({"h": {3: 1}})
    assert intervals.last == {}
    intervals.flush({"h": {3: 2}, "new": {9: 1}})
    assert intervals.last == {"h": {3: 1}, "new": {9: 1}}
    intervals.flush({"h": {3: 2, 4: 1}})
    assert intervals.last == {"h": {4: 1}}
    intervals.flush({"h": {3: 2, 4: 1}})
    assert intervals.last == {}
