"""The `Table` protocol: memory and shared memory behave alike for one writer."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.tables import CLUSTER_GAUGES, HOST_GAUGES, ClusterColumn, HostColumn, MemoryTable, Table
from shm.table import TableWriter, create_table

OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "set", "claim", "release"]),
        st.integers(0, 2),
        st.integers(0, len(ClusterColumn) - 1),
        st.integers(0, 4),
    ),
    max_size=30,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[TableWriter]:
    fd = create_table("t", rows=4, columns=len(ClusterColumn), gauges=CLUSTER_GAUGES, writers=3)
    yield TableWriter(fd, 1)
    os.close(fd)


def play(table: Table, operations: list[tuple[str, int, int, int]]) -> list[object]:
    seen: list[object] = []
    table.ensure_rows(3)
    for name, row, column, amount in operations:
        if name == "add":
            table.add(row, column, amount)
        elif name == "set":
            table.set(row, column, amount)
        elif name == "claim":
            seen.append(table.claim(row, column, amount))
        else:
            table.release(row, column)
        seen.append((table.get(row, column), table.total(row, column)))
    return seen


@given(operations=OPERATIONS)
def test_memory_is_like_shared_memory(shared: TableWriter, operations: list[tuple[str, int, int, int]]) -> None:
    for row in range(3):
        for column in ClusterColumn:
            shared.set(row, column, 0)
    assert play(MemoryTable(), operations) == play(shared, operations)


def test_gauges_are_what_returns_to_zero() -> None:
    assert set(HOST_GAUGES) == {HostColumn.CX_ACTIVE, HostColumn.RQ_ACTIVE, HostColumn.CONNECTIONS}
    assert set(CLUSTER_GAUGES) == {column for column in ClusterColumn if column < ClusterColumn.STATUS_CHANGES}
