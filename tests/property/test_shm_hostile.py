"""Regions and tables that a worker filled with anything at all: whoever reads them neither fails nor looks outside."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from shm import layout, memfd
from shm.fold import Base, create_base
from shm.layout import ChunkKind
from shm.metrics import MetricsReader, MetricsWriter, RegionError, create_region, zero_gauges
from shm.region import Region
from shm.table import TableReader, create_table, zero_plane
from shm.words import ALIGN
from tests.kit import forks

WORDS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 20),
    st.sampled_from([ALIGN, 2 * ALIGN, 10 * ALIGN, 2**64 - ALIGN, 2**63, layout.MAX_CHUNK_BYTES, 2**32]),
)
# Where a word is overwritten: in the header and the directory, in the first counters, and in the first names.
PLACES = st.integers(2, 40) | st.integers(ALIGN // 8, ALIGN // 8 + 10) | st.integers(ALIGN // 4, ALIGN // 4 + 40)


def filled() -> int:
    fd = create_region(5)
    writer = MetricsWriter(fd)
    for number in range(10):
        writer.counter(f"counter{number}").inc(number)
        writer.gauge(f"gauge{number}").set(number)
        writer.histogram(f"time{number}").record(10**number)
    return fd


@given(st.lists(st.tuples(PLACES, WORDS), min_size=1, max_size=6))
@settings(deadline=None, max_examples=200)
def test_any_words_are_survived(changes: list[tuple[int, int]]) -> None:
    fd, base = filled(), create_base()
    early = MetricsReader(fd)
    for place, word in changes:
        memfd.write_at(fd, word.to_bytes(8, "little"), place * 8)
    for reader in (early, MetricsReader(fd)):
        reader.read()
        Base(base).fold(reader)
        Base(base).merged([reader])
    zero_gauges(fd)
    try:
        successor = MetricsWriter(fd)
        successor.counter("new").inc()
        successor.histogram("new").record(10**6)
        assert successor.counter("new") is successor.counter("new")
    except RegionError:
        pass  # full or damaged: the supervisor gives the successor a new region
    early.read()
    MetricsReader(fd).read()
    os.close(fd)
    os.close(base)


@given(st.binary(min_size=1, max_size=500), st.integers(0, 140))
@settings(deadline=None, max_examples=100)
def test_any_names_are_survived(garbage: bytes, at: int) -> None:
    fd = filled()
    intact = MetricsReader(fd).read()
    _, names = next(Region(fd, writable=False).of_kind(ChunkKind.NAMES))
    memfd.write_at(fd, garbage, names.end - len(names.view) + 8 * at)
    metrics = MetricsReader(fd).read()
    assert metrics.counters.items() <= intact.counters.items()
    assert metrics.gauges.items() <= intact.gauges.items()
    successor = MetricsWriter(fd)
    successor.counter("new").inc()
    for number in range(10):
        successor.counter(f"counter{number}").inc()
    counters = MetricsReader(fd).read().counters
    assert counters.get("new") in (None, 1)
    for number in range(10):
        # A damaged name begins again or stays hidden behind the damage, but never takes over another's value.
        assert counters.get(f"counter{number}") in (None, 1, number + 1)
    os.close(fd)


@given(st.lists(st.tuples(st.integers(0, 20), WORDS), min_size=1, max_size=4))
@settings(deadline=None, max_examples=100)
def test_any_table_header_is_survived(changes: list[tuple[int, int]]) -> None:
    fd = create_table("t", rows=5, columns=3, gauges=[1], writers=4)
    early = TableReader(fd)
    for place, word in changes:
        memfd.write_at(fd, word.to_bytes(8, "little"), place * 8)
    zero_plane(fd, 1)
    for row in (0, 4, 5, 10**6, 2**40):
        try:
            early.total(row, 1)
        except IndexError:
            assert row >= 5 or early.rows <= row
    try:
        reader = TableReader(fd)
    except ValueError:
        pass
    else:
        for row in (0, reader.rows - 1):
            if 0 <= row < reader.rows:
                reader.plane(0, row, 0)
    os.close(fd)


def test_a_file_that_ends_early_is_not_read_beyond() -> None:
    """Reading outside would be SIGBUS, so this runs in a child."""

    def read() -> None:
        fd = memfd.create("t", ALIGN)
        source = filled()
        memfd.write_at(fd, memfd.read_at(source, ALIGN, 0), 0)  # a whole directory, and no chunks
        reader = MetricsReader(fd)
        assert reader.read().counters == {}
        zero_gauges(fd)
        os.ftruncate(fd, 20 * ALIGN)
        assert reader.read().counters == {}
        assert MetricsReader(fd).read().counters == {}

    forks.run(read)
