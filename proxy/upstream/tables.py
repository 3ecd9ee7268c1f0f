"""The shared tables as the data plane sees them: words that all workers can sum, each written by one worker.

`shm.table.TableWriter` implements `Table` over shared memory; `MemoryTables` serves tests and a process of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Protocol


class HostColumn(enum.IntEnum):
    """Words of one host (row = `Host.slot`)."""

    CX_TOTAL = 0
    CX_ACTIVE = 1
    CX_CONNECT_FAIL = 2
    RQ_TOTAL = 3
    RQ_SUCCESS = 4
    RQ_ERROR = 5
    RQ_TIMEOUT = 6
    RQ_ACTIVE = 7
    CHECKED = 8  # what health checks say, `EJECTED`: what outlier detection says (`host_status.py`)
    EJECTED = 9
    # What outlier detection counts (`outlier/streaks.py`, `outlier/detector.py`).
    OUTLIER_SUCCESS = 10
    OUTLIER_5XX = 11  # but for those of gateways
    OUTLIER_GATEWAY_FAILURE = 12
    OUTLIER_LOCAL_SUCCESS = 13
    OUTLIER_LOCAL_FAILURE = 14
    STREAK_5XX = 15
    STREAK_GATEWAY_FAILURE = 16
    STREAK_LOCAL_FAILURE = 17
    DETECTED_5XX = 18
    DETECTED_GATEWAY_FAILURE = 19
    DETECTED_LOCAL_FAILURE = 20
    HANDLED_5XX = 21
    HANDLED_GATEWAY_FAILURE = 22
    HANDLED_LOCAL_FAILURE = 23
    EJECTIONS = 24
    EJECTION_BACKOFF = 25
    SUCCESS_RATE = 26
    LOCAL_SUCCESS_RATE = 27
    CONNECTIONS = 28  # that are claimed, where a host has a limit of its own
    CHECK_BEGUN = 29  # when the last health check began


HOST_GAUGES = (HostColumn.CX_ACTIVE, HostColumn.RQ_ACTIVE, HostColumn.CONNECTIONS)


class ClusterColumn(enum.IntEnum):
    """Words of one cluster (row = `Cluster.slot`). What circuit breakers limit over all workers, of default and of high
    priority; how often the status of a host has changed; and what outlier detection says of all hosts together.
    """

    CONNECTIONS = 0
    PENDING = 1
    REQUESTS = 2
    RETRIES = 3
    HIGH_CONNECTIONS = 4
    HIGH_PENDING = 5
    HIGH_REQUESTS = 6
    HIGH_RETRIES = 7
    POOLS = 8
    HIGH_POOLS = 9
    STATUS_CHANGES = 10
    DETECTIONS = 11
    SUCCESS_RATE_AVERAGE = 12
    SUCCESS_RATE_THRESHOLD = 13
    LOCAL_SUCCESS_RATE_AVERAGE = 14
    LOCAL_SUCCESS_RATE_THRESHOLD = 15


CLUSTER_GAUGES = tuple(column for column in ClusterColumn if column < ClusterColumn.STATUS_CHANGES)


class Cells(Protocol):
    """What a reader of a table may ask."""

    def total(self, row: int, column: int) -> int: ...
    def highest(self, row: int, column: int) -> int: ...


class Table(Protocol):
    """Rows × columns of signed words. `get` reads the own word, `words` are those of all writers, `total` is their sum,
    `highest` the greatest of them.
    """

    def add(self, row: int, column: int, amount: int) -> None: ...
    def set(self, row: int, column: int, value: int) -> None: ...
    def get(self, row: int, column: int) -> int: ...
    def words(self, row: int, column: int) -> Iterable[int]: ...
    def total(self, row: int, column: int) -> int: ...
    def highest(self, row: int, column: int) -> int: ...
    def claim(self, row: int, column: int, limit: int) -> bool:
        """Add one to the own word unless the total would pass `limit`."""
        ...

    def release(self, row: int, column: int) -> None:
        """Take back one claim."""
        ...

    def ensure_rows(self, rows: int) -> None: ...


class Tables(Protocol):
    """Both shared tables, as one worker writes them."""

    @property
    def hosts(self) -> Table: ...
    @property
    def clusters(self) -> Table: ...


class MemoryTable:
    """A table of one writer in plain memory."""

    def __init__(self) -> None:
        self._words: dict[tuple[int, int], int] = {}

    def add(self, row: int, column: int, amount: int) -> None:
        self._words[row, column] = self.get(row, column) + amount

    def set(self, row: int, column: int, value: int) -> None:
        self._words[row, column] = value

    def get(self, row: int, column: int) -> int:
        return self._words.get((row, column), 0)

    def words(self, row: int, column: int) -> tuple[int, ...]:
        return (self.get(row, column),)

    def total(self, row: int, column: int) -> int:
        return self.get(row, column)

    def highest(self, row: int, column: int) -> int:
        return self.get(row, column)

    def claim(self, row: int, column: int, limit: int) -> bool:
        if self.total(row, column) >= limit:
            return False
        self.add(row, column, 1)
        return True

    def release(self, row: int, column: int) -> None:
        self.add(row, column, -1)

    def ensure_rows(self, rows: int) -> None:
        """Nothing to do: rows appear when they are written."""


class MemoryTables:
    """`Tables` in plain memory."""

    def __init__(self) -> None:
        self.hosts = MemoryTable()
        self.clusters = MemoryTable()
