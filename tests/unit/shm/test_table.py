import os
from collections.abc import Iterator

import pytest

from shm import memfd, table
from shm.table import TableReader, TableWriter, clear_row, create_table, grow, zero_plane

COUNTER, GAUGE = 0, 1


@pytest.fixture
def hosts() -> Iterator[int]:
    fd = create_table("hosts", rows=10, columns=3, gauges=[GAUGE], writers=256)
    yield fd
    os.close(fd)


def test_cells_are_summed_over_writers(hosts: int) -> None:
    one, two, reader = TableWriter(hosts, 2), TableWriter(hosts, 255), TableReader(hosts)
    assert reader.rows == 10
    one.add(4, GAUGE, 5)
    assert one.total(4, GAUGE) == reader.total(4, GAUGE) == 5
    two.add(4, GAUGE, -7)
    two.set(9, 2, 3)
    assert one.total(4, GAUGE) == two.total(4, GAUGE) == reader.total(4, GAUGE) == -2
    assert (one.get(4, GAUGE), two.get(4, GAUGE), two.get(9, 2)) == (5, -7, 3)
    assert [reader.plane(writer, 4, GAUGE) for writer in (2, 3, 255)] == [5, 0, -7]


def test_a_writer_that_comes_later_counts(hosts: int) -> None:
    first = TableWriter(hosts, 0)
    first.add(0, 0, 1)
    assert first.total(0, 0) == 1
    TableWriter(hosts, 7).add(0, 0, 1)
    assert first.total(0, 0) == 2


def test_claims_end_at_the_limit_of_all_writers_together(hosts: int) -> None:
    one, two = TableWriter(hosts, 1), TableWriter(hosts, 2)
    assert [writer.claim(0, GAUGE, 3) for writer in (one, two, one, two, one)] == [True, True, True, False, False]
    two.release(0, GAUGE)
    assert one.claim(0, GAUGE, 3)
    assert not two.claim(0, GAUGE, 3)
    assert TableReader(hosts).total(0, GAUGE) == 3
    assert not one.claim(1, GAUGE, 0)


def test_a_dead_writers_gauges_are_zeroed_and_its_counters_stay(hosts: int) -> None:
    grow(hosts, 2 * table.ROWS_PER_CHUNK + 1)
    dead, alive, reader = TableWriter(hosts, 3), TableWriter(hosts, 4), TableReader(hosts)
    rows = (0, 9, table.ROWS_PER_CHUNK - 1, table.ROWS_PER_CHUNK, 2 * table.ROWS_PER_CHUNK)
    for row in rows:
        for column in range(3):
            dead.add(row, column, -1)
            alive.add(row, column, 10)
    zero_plane(hosts, 3)
    for row in rows:
        assert [reader.total(row, column) for column in range(3)] == [9, 10, 9]


def test_a_cleared_row_is_zero_in_every_plane(hosts: int) -> None:
    one, two, reader = TableWriter(hosts, 0), TableWriter(hosts, 200), TableReader(hosts)
    for writer in (one, two):
        for row in (4, 5, 6):
            for column in range(3):
                writer.add(row, column, 1)
    clear_row(hosts, 5)
    assert [[reader.total(row, column) for column in range(3)] for row in (4, 5, 6)] == [[2] * 3, [0] * 3, [2] * 3]


def test_growth_keeps_values_and_is_seen_by_all(hosts: int) -> None:
    writer, reader = TableWriter(hosts, 1), TableReader(hosts)
    writer.add(9, 0, 4)
    with pytest.raises(IndexError, match="row 9999 is not among 10 rows"):
        writer.ensure_rows(10_000)
    grow(hosts, 10_000)
    grow(hosts, 20)  # never shrinks
    assert reader.rows == 10_000
    writer.ensure_rows(10_000)
    writer.add(9_999, 0, 6)
    assert (reader.total(9, 0), reader.total(9_999, 0)) == (4, 6)


def test_unused_planes_cost_no_memory() -> None:
    fd = create_table("hosts", rows=100_000, columns=8, gauges=[], writers=256)
    writer = TableWriter(fd, 5)
    for row in range(0, 100_000, 1_000):
        writer.add(row, 0, 1)
        assert writer.total(row, 0) == 1
    zero_plane(fd, 6)
    clear_row(fd, 0)
    used = os.fstat(fd).st_blocks * 512
    assert used < 6 * 1024 * 1024  # six planes up to the writer's, a page for each row that was touched
    os.close(fd)


@pytest.mark.parametrize(("row", "column"), [(-1, 0), (0, -1), (0, 3), (10**9, 0), (2**40, 0)])
def test_cells_outside_are_errors(hosts: int, row: int, column: int) -> None:
    writer = TableWriter(hosts, 0)
    for call in (lambda: writer.add(row, column, 1), lambda: writer.total(row, column)):
        with pytest.raises(IndexError):
            call()


def test_writers_outside_are_errors(hosts: int) -> None:
    for writer in (-1, 256):
        with pytest.raises(ValueError, match="not among 256 writers"):
            TableWriter(hosts, writer)
        with pytest.raises(IndexError):
            TableReader(hosts).plane(writer, 0, 0)
    zero_plane(hosts, 256)


@pytest.mark.parametrize("columns", [0, 65])
def test_impossible_shapes_are_refused(columns: int) -> None:
    with pytest.raises(ValueError, match="columns"):
        create_table("t", rows=1, columns=columns, gauges=[], writers=1)
    with pytest.raises(ValueError, match="gauge column 1"):
        create_table("t", rows=1, columns=1, gauges=[1], writers=1)


@pytest.mark.parametrize("word", [0, 1, 2, 3, 5])
def test_a_damaged_header_harms_nobody(hosts: int, word: int) -> None:
    writer = TableWriter(hosts, 0)
    memfd.write_at(hosts, b"\xff" * 8, word * 8)
    zero_plane(hosts, 0)
    with pytest.raises(ValueError, match="not a table"):
        TableReader(hosts)
    writer.add(0, 0, 1)  # who is attached keeps the shape that it saw
    assert writer.total(0, 0) == 1
