"""Writers and folders that are killed before each single store: nothing is lost, nothing is invented."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shm import histogram, layout, memfd
from shm.fold import Base, create_base
from shm.layout import ChunkKind, StatKind
from shm.metrics import Metrics, MetricsReader, MetricsWriter, create_region, zero_gauges
from shm.region import Region
from tests.kit import forks

Operation = Callable[[MetricsWriter], None]
LONG = "x" * (layout.MAX_NAME_BYTES - 10)

# Each operation changes the value of one word; together they let every kind of chunk begin and grow.
OPERATIONS: list[Operation] = [
    lambda writer: writer.counter("one").inc(),
    lambda writer: writer.counter("two").inc(2),
    lambda writer: writer.gauge("active").add(3),
    lambda writer: writer.gauge("idle").add(-4),
    lambda writer: writer.histogram("time").record(7),
    lambda writer: writer.histogram("time").record(1_234),
    lambda writer: writer.counter("one").inc(5),
    lambda writer: writer.counter(LONG + "1").inc(),
    lambda writer: writer.histogram("time").record(1_234),
]


def values(metrics: Metrics) -> Metrics:
    """Without the names that have no value yet: a name may be published before its first value."""
    return Metrics(
        {name: value for name, value in metrics.counters.items() if value},
        {name: value for name, value in metrics.gauges.items() if value},
        {name: buckets for name, buckets in metrics.histograms.items() if buckets},
    )


def copy_of(content: bytes) -> int:
    fd = memfd.create("copy", len(content))
    memfd.write_at(fd, content, 0)
    return fd


def content_of(fd: int) -> bytes:
    return memfd.read_at(fd, os.fstat(fd).st_size, 0)


def empty_region() -> bytes:
    fd = create_region(1)
    content = content_of(fd)
    os.close(fd)
    return content


def crowded_region() -> bytes:
    """A region in which every chunk has room for one more entry only, so that growth comes with the second."""
    fd = create_region(1)
    writer = MetricsWriter(fd)
    for number in range(3):
        writer.counter(f"{LONG}{number + 5}")
    writer.gauge("g")
    writer.histogram("h")
    region = Region(fd, writable=True)
    at = region.header[layout.H_NAMES_END]
    _, names = next(region.of_kind(ChunkKind.NAMES))
    for stat, kind in layout.CHUNK_OF.items():
        number, chunk = next(region.of_kind(kind))
        room = 190 if stat == StatKind.HISTOGRAM else 1  # two blocks
        last = len(chunk.view) - room - (100 if stat == StatKind.HISTOGRAM else 1)
        record = layout.pack_record(stat, 0, b"last" + bytes(str(stat), "ascii"), number, last)
        names.view[at : at + len(record)] = record
        at += len(record)
    region.header[layout.H_NAMES_END] = at
    content = content_of(fd)
    os.close(fd)
    return content


@pytest.mark.parametrize("prepare", [empty_region, crowded_region])
def test_a_writer_killed_before_any_store(prepare: Callable[[], bytes]) -> None:
    content = prepare()
    names = len(MetricsReader(copy_of(content)).read().counters)
    states = [Metrics()]  # after so many operations
    fd = copy_of(content)
    writer = MetricsWriter(fd)
    for operation in OPERATIONS:
        operation(writer)
        states.append(values(MetricsReader(fd).read()))
    os.close(fd)

    def write_all(fd: int) -> None:
        writer = MetricsWriter(fd)
        for operation in OPERATIONS:
            operation(writer)

    event, furthest, killed = 0, 0, True
    while killed:
        fd = copy_of(content)
        early = MetricsReader(fd)
        assert values(early.read()) == Metrics()
        killed = forks.run_until(event, lambda fd=fd: write_all(fd), within="/shm/")  # type: ignore[misc]
        event += 1
        seen = values(MetricsReader(fd).read())
        assert values(early.read()) == seen
        assert seen in states  # no operation is half done, and none overtakes another
        done = states.index(seen)
        assert furthest <= done
        furthest = done
        successor = MetricsWriter(fd)
        for operation in OPERATIONS[done:]:
            operation(successor)
        assert values(early.read()) == values(MetricsReader(fd).read()) == states[-1]
        assert len(early.read().counters) == names + 3
        os.close(fd)
    assert furthest == len(OPERATIONS)
    assert event > 60


@pytest.mark.parametrize("prepare", [empty_region, crowded_region])
def test_a_reader_at_any_moment(prepare: Callable[[], bytes]) -> None:
    fd = copy_of(prepare())
    reader = MetricsReader(fd)
    done = [Metrics()]

    def read() -> None:
        seen = values(reader.read())
        assert seen == values(MetricsReader(fd).read())
        if seen != done[-1]:
            done.append(seen)

    def write() -> None:
        writer = MetricsWriter(fd)
        for operation in OPERATIONS:
            operation(writer)

    forks.interleave(write, read, within="/shm/")
    read()
    assert len(done) == 1 + len(OPERATIONS)
    assert done[-1] == Metrics(
        {"one": 6, "two": 2, f"{LONG}1": 1}, {"active": 3, "idle": -4}, {"time": {7: 1, histogram.bucket_of(1_234): 2}}
    )
    os.close(fd)


def test_a_whole_record_that_was_not_published_stays_unseen() -> None:
    """It would come into view when the stream goes on in the next chunk, and share its word with another name."""
    fd = create_region(1)
    writer = MetricsWriter(fd)
    for number in range(3):
        writer.counter(f"{LONG}{number}")
    region = Region(fd, writable=True)
    _, names = next(region.of_kind(ChunkKind.NAMES))
    at = region.header[layout.H_NAMES_END]
    orphan = layout.pack_record(StatKind.COUNTER, 0, b"orphan", chunk=0, word=3)
    names.view[at : at + len(orphan)] = orphan
    MetricsWriter(fd).counter(LONG + "next").inc(5)
    assert "orphan" not in MetricsReader(fd).read().counters
    assert values(MetricsReader(fd).read()).counters == {LONG + "next": 5}
    os.close(fd)


@given(st.data())
@settings(deadline=None)
def test_what_is_not_published_does_not_matter(data: st.DataObject) -> None:
    """A store of many bytes may be cut anywhere; here anything at all lies behind the published end."""
    fd = create_region(1)
    writer = MetricsWriter(fd)
    for operation in OPERATIONS[: data.draw(st.integers(0, len(OPERATIONS)))]:
        operation(writer)
    expected = MetricsReader(fd).read()
    header = memoryview(memfd.read_at(fd, layout.HEADER_BYTES, 0)).cast("Q")
    garbage = data.draw(st.binary(min_size=1, max_size=100))
    directory_end = 8 * (layout.H_DIRECTORY + layout.ENTRY_WORDS * header[layout.H_CHUNKS])
    memfd.write_at(fd, garbage, directory_end)
    names = [chunk for _, chunk in Region(fd, writable=True).of_kind(ChunkKind.NAMES)]
    end = header[layout.H_NAMES_END] - sum(len(chunk.view) for chunk in names[:-1])
    if names and end + len(garbage) <= len(names[-1].view):
        names[-1].view[end : end + len(garbage)] = garbage
    if data.draw(st.booleans()):
        os.ftruncate(fd, os.fstat(fd).st_size + data.draw(st.integers(0, 200_000)))
    reader = MetricsReader(fd)
    assert reader.read() == expected
    successor = MetricsWriter(fd)
    for number in range(5):
        successor.counter(f"{LONG}new{number}").inc(number)
        successor.histogram("new").record(10**number)
        expected.counters[f"{LONG}new{number}"] = number
    expected.histograms["new"] = {1: 1, 10: 1, 100: 1, 190: 1, 280: 1}
    assert reader.read() == MetricsReader(fd).read() == expected
    os.close(fd)


def test_gauges_zeroed_before_any_store_of_the_dead() -> None:
    for event in range(0, 120, 2):
        fd = create_region(1)

        def write(fd: int = fd) -> None:
            writer = MetricsWriter(fd)
            for number in range(5):
                writer.gauge(f"g{number}").set(number + 1)
                writer.counter(f"c{number}").inc(number + 1)

        forks.run_until(event, write, within="/shm/")
        before = MetricsReader(fd).read()
        zero_gauges(fd)
        after = MetricsReader(fd).read()
        assert after.counters == before.counters
        assert after.gauges == dict.fromkeys(before.gauges, 0)
        os.close(fd)


def ended_region(serial: int, names: int) -> MetricsReader:
    writer = MetricsWriter(fd := create_region(serial))
    for number in range(names):
        writer.counter(f"name{number}").inc(serial)
    writer.histogram("time").record(serial)
    return MetricsReader(fd)


@pytest.mark.parametrize("folds", [0, 1, 2])
def test_a_folder_killed_before_any_store(folds: int) -> None:
    prepared = create_base()
    for serial in range(1, folds + 1):
        Base(prepared).fold(ended_region(serial, names=3))
    content = content_of(prepared)
    region = ended_region(9, names=5)
    expected = Base(prepared).merged([region])
    assert expected.counters["name4"] == 9
    event, killed = 0, True
    while killed:
        fd = copy_of(content)
        standing = Base(fd)  # a reader that goes on through the death of the folder
        killed = forks.run_until(event, lambda fd=fd: Base(fd).fold(region), within="/shm/")  # type: ignore[misc]
        event += 1
        for base in (standing, Base(fd)):
            assert base.merged([region]) == expected
        Base(fd).fold(region)
        for base in (standing, Base(fd)):
            assert base.merged([]) == base.merged([region]) == expected
        os.close(fd)
    assert event > 10


@given(st.binary(max_size=3_000), st.integers(0, 3))
@settings(deadline=None)
def test_a_copy_of_the_base_that_is_half_written_does_not_matter(garbage: bytes, folds: int) -> None:
    fd = create_base()
    regions = [ended_region(serial, names=3) for serial in range(1, folds + 2)]
    for region in regions[:-1]:
        Base(fd).fold(region)
    base = Base(fd)
    expected = base.merged(regions)
    header = memoryview(memfd.read_at(fd, 96, 0)).cast("Q")
    copy = (header[2] + 1) % 2
    memfd.write_at(fd, garbage, base._room(copy, len(garbage)))
    memfd.write_at(fd, garbage[:24], 32 + 32 * copy)
    assert Base(fd).merged(regions) == expected
    Base(fd).fold(regions[-1])
    assert Base(fd).merged([]) == expected
    os.close(fd)
