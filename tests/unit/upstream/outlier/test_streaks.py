"""Failures in a row, counted by several writers without a lock."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.outlier import streaks
from proxy.upstream.outlier.kinds import Kind
from proxy.upstream.outlier.streaks import COLUMNS
from proxy.upstream.tables import HOST_GAUGES, HostColumn
from shm.table import TableWriter, create_table, zero_plane

HTTP = COLUMNS[Kind.CONSECUTIVE_5XX]
STEPS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["fail", "fail", "fail", "succeed", "die", "found"])))


@pytest.fixture(scope="module")
def fd() -> Iterator[int]:
    fd = create_table("hosts", rows=4, columns=len(HostColumn), gauges=HOST_GAUGES, writers=4)
    yield fd
    os.close(fd)


@given(steps=STEPS)
def test_they_are_counted_as_one_would_count_them(fd: int, steps: list[tuple[int, str]]) -> None:
    writers = [TableWriter(fd, number) for number in range(4)]
    streaks.found(writers[0], 0, HTTP)  # whatever was before
    expected = 0
    for number, step in steps:
        match step:
            case "fail":
                expected += 1
                assert streaks.fail(writers[number], 0, HTTP) == expected
            case "succeed":
                expected = 0
                writers[number].add(0, HostColumn.OUTLIER_SUCCESS, 1)
            case "found":
                expected = 0
                streaks.found(writers[number], 0, HTTP)
            case "die":
                zero_plane(fd, number)
                writers[number] = TableWriter(fd, number)


def test_what_was_found_waits_until_somebody_deals_with_it(fd: int) -> None:
    first, second = TableWriter(fd, 1), TableWriter(fd, 2)
    for writer in (first, second, first):
        streaks.found(writer, 1, HTTP)
    assert streaks.waiting(second, 1, HTTP) == 3
    streaks.handle(first, 1, HTTP)
    streaks.handle(second, 1, HTTP)
    assert streaks.waiting(first, 1, HTTP) == 1
    streaks.forget(first, 1)
    assert streaks.waiting(first, 1, HTTP) == 1


def test_a_row_of_gateway_failures_ends_with_another_one_too(fd: int) -> None:
    writer = TableWriter(fd, 1)
    gateway = COLUMNS[Kind.CONSECUTIVE_GATEWAY_FAILURE]
    assert [streaks.fail(writer, 2, gateway) for _ in range(3)] == [1, 2, 3]
    writer.add(2, HostColumn.OUTLIER_5XX, 1)
    assert streaks.fail(writer, 2, gateway) == 1
