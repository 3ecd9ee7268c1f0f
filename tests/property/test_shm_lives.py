"""Real processes that write, die at random moments and are replaced, while others read."""

from __future__ import annotations

import itertools
import os
import random
import signal
import struct
import time
from collections.abc import Iterator

import pytest

from shm import histogram
from shm.fold import Base, create_base
from shm.metrics import Metrics, MetricsReader, MetricsWriter, create_region, zero_gauges
from shm.table import TableReader, TableWriter, create_table, zero_plane
from tests.kit import forks

HOLD = struct.Struct("=qq")


def operations(seed: int) -> Iterator[tuple[str, str, int]]:
    """An endless, repeatable sequence; each adds 1 to one word. New names keep coming for long, some of them long."""
    rng = random.Random(seed)
    known = 1
    while True:
        if known < 300 and rng.random() < 0.3:
            known += 1
        number = rng.randrange(known)
        name = f"cluster.{number}{'.long' * (1_000 if number % 50 == 7 else 1)}"
        if rng.random() < 0.6:
            yield "counter", name, 1
        else:
            yield "histogram", name, int(10 ** rng.uniform(0, 9))


def after(seed: int, count: int) -> Metrics:
    expected = Metrics()
    for (kind, name, value), _ in zip(operations(seed), range(count), strict=False):
        if kind == "counter":
            expected.counters[name] = expected.counters.get(name, 0) + 1
        else:
            buckets = expected.histograms.setdefault(name, {})
            bucket = histogram.bucket_of(value)
            buckets[bucket] = buckets.get(bucket, 0) + 1
    return expected


def with_values(metrics: Metrics) -> Metrics:
    return Metrics(
        {name: value for name, value in metrics.counters.items() if value},
        {},
        {name: buckets for name, buckets in metrics.histograms.items() if buckets},
    )


def count_of(metrics: Metrics) -> int:
    return sum(metrics.counters.values()) + sum(sum(buckets.values()) for buckets in metrics.histograms.values())


def write_for_ever(fd: int, seed: int) -> None:
    """Attaches, finds out from the values how far the predecessors came, and goes on from there."""
    writer = MetricsWriter(fd)
    done = count_of(MetricsReader(fd).read())
    active = writer.gauge("active")
    for number, (kind, name, value) in enumerate(operations(seed)):
        if number < done:
            continue
        active.add(1)
        if kind == "counter":
            writer.counter(name).inc()
        else:
            writer.histogram(name).record(value)
        if number >= 20_000:
            signal.pause()


def assert_not_fallen(now: Metrics, before: Metrics) -> None:
    for name, value in before.counters.items():
        assert now.counters[name] >= value, name
    for name, buckets in before.histograms.items():
        for bucket, count in buckets.items():
            assert now.histograms[name][bucket] >= count, (name, bucket)


def test_killed_writers_lose_and_invent_nothing() -> None:
    rng = random.Random(1)
    base = Base(create_base())
    regions = {seed: create_region(seed) for seed in (1, 2, 3)}
    readers = {seed: MetricsReader(fd) for seed, fd in regions.items()}
    seen = Metrics()
    pids: dict[int, int] = {}
    for life in range(16):
        seed = rng.choice(list(regions))
        if pid := pids.pop(seed, None):
            os.kill(pid, signal.SIGKILL)
            assert forks.wait(pid) == -signal.SIGKILL
            zero_gauges(regions[seed])
            values = readers[seed].read()
            assert set(values.gauges.values()) <= {0}
            assert with_values(values) == with_values(MetricsReader(regions[seed]).read())
            assert with_values(values) == after(seed, count_of(values)), (life, seed)
        pids[seed] = forks.fork(lambda seed=seed: write_for_ever(regions[seed], seed))  # type: ignore[misc]
        until = time.monotonic() + rng.uniform(0, 0.15)
        while time.monotonic() < until:
            now = base.merged(readers.values())
            assert_not_fallen(now, seen)
            seen = now
    for seed, pid in pids.items():
        os.kill(pid, signal.SIGKILL)
        forks.wait(pid)
        zero_gauges(regions[seed])
    expected = Metrics()
    for seed, reader in readers.items():
        expected.add(after(seed, count_of(reader.read())))
        base.fold(reader)
        now = base.merged(readers.values())
        assert_not_fallen(now, seen)
        seen = now
    assert with_values(seen) == expected
    assert count_of(seen) > 500


@pytest.mark.parametrize("limit", [1, 2])
def test_a_claim_in_the_middle_of_a_claim(limit: int) -> None:
    """Whatever instruction one writer has reached when others claim: no more places than `limit` are given."""
    fd = create_table("clusters", rows=1, columns=1, gauges=[0], writers=4)
    writers = [TableWriter(fd, number) for number in range(4)]
    granted: list[int] = []

    def claim(writer: int) -> None:
        if writers[writer].claim(0, 0, limit):
            granted.append(writer)

    moments = 0
    for moment in itertools.count():
        granted.clear()
        left = moment

        def others() -> None:
            nonlocal left
            left -= 1
            if left == -1:
                for writer in (1, 2, 3):
                    claim(writer)

        forks.interleave(lambda: claim(0), others, within="/shm/", everywhere=True)
        assert len(granted) <= limit
        assert TableReader(fd).total(0, 0) == len(granted)
        for writer in granted:
            writers[writer].release(0, 0)
        if left >= 0:
            break
        moments += 1
    assert moments > 50
    os.close(fd)


def test_claims_overshoot_by_one_at_most() -> None:
    """Every process writes down when it held a place; no moment may have more than `limit` + 1 of them."""
    limit, processes = 2, 4
    fd = create_table("clusters", rows=1, columns=1, gauges=[0], writers=processes)
    reading, writing = os.pipe()

    def claim(writer: int) -> None:
        table = TableWriter(fd, writer)
        holds: list[bytes] = []
        until = start + 0.8
        while time.monotonic() < start:
            pass
        while time.monotonic() < until:
            if not table.claim(0, 0, limit):
                continue
            since = time.monotonic_ns()
            for _ in range(200):
                pass
            holds.append(HOLD.pack(since, time.monotonic_ns()))
            table.release(0, 0)
        with os.fdopen(writing, "wb") as report:
            report.write(b"".join(holds))

    start = time.monotonic() + 0.2
    pids = [forks.fork(lambda writer=writer: claim(writer)) for writer in range(processes)]  # type: ignore[misc]
    os.close(writing)
    with os.fdopen(reading, "rb") as report:
        holds = list(HOLD.iter_unpack(report.read()))
    assert [forks.wait(pid) for pid in pids] == [0] * processes
    changes = sorted([(since, 1) for since, _ in holds] + [(until, -1) for _, until in holds])
    held = most = 0
    for _, change in changes:
        held += change
        most = max(most, held)
    assert 2 <= most <= limit + 1
    assert TableReader(fd).total(0, 0) == 0
    os.close(fd)


def test_places_of_the_dead_are_given_back() -> None:
    fd = create_table("clusters", rows=3, columns=2, gauges=[0], writers=8)
    survivor = TableWriter(fd, 7)
    for _ in range(5):
        ready, started = os.pipe()

        def hold(started: int = started) -> None:
            table = TableWriter(fd, 3)
            while table.claim(1, 0, 10):
                table.add(1, 1, 1)
            os.write(started, b"x")
            signal.pause()

        pid = forks.fork(hold)
        assert os.read(ready, 1) == b"x"
        assert not survivor.claim(1, 0, 10)
        os.kill(pid, signal.SIGKILL)
        forks.wait(pid)
        zero_plane(fd, 3)
        assert survivor.claim(1, 0, 10)
        survivor.release(1, 0)
        os.close(ready)
        os.close(started)
    assert TableReader(fd).total(1, 1) == 50
    os.close(fd)
