"""Shared memory against plain dictionaries: any sequence of operations, deaths and folds."""

from __future__ import annotations

import os

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from shm import histogram
from shm.fold import Base, create_base
from shm.metrics import Metrics, MetricsReader, MetricsWriter, create_region, zero_gauges
from shm.table import ROWS_PER_CHUNK, TableReader, TableWriter, clear_row, create_table, grow, zero_plane

NAMES = st.one_of(st.sampled_from(["a", "cluster.b.upstream_rq_total", "ü" * 5_000]), st.text("xyz.", min_size=1))


class Worker:
    """A region, its present writer, its reader, and what it should hold."""

    def __init__(self, serial: int) -> None:
        self.fd = create_region(serial)
        self.reader = MetricsReader(self.fd)
        self.writer = MetricsWriter(self.fd)
        self.expected = Metrics()


class MetricsMachine(RuleBasedStateMachine):
    workers = Bundle("workers")

    @initialize()
    def start(self) -> None:
        self.base_fd = create_base()
        self.base = Base(self.base_fd)
        self.serial = 0
        self.live: list[Worker] = []
        self.ended = Metrics()
        self.counters_seen: dict[str, int] = {}

    @rule(target=workers)
    def new_worker(self) -> Worker:
        self.serial += 1
        self.live.append(Worker(self.serial))
        return self.live[-1]

    @rule(worker=workers, name=NAMES, amount=st.integers(0, 1_000))
    def inc(self, worker: Worker, name: str, amount: int) -> None:
        worker.writer.counter(name).inc(amount)
        worker.expected.counters[name] = worker.expected.counters.get(name, 0) + amount

    @rule(worker=workers, name=NAMES, amount=st.integers(-1_000, 1_000))
    def add(self, worker: Worker, name: str, amount: int) -> None:
        worker.writer.gauge(name).add(amount)
        worker.expected.gauges[name] = worker.expected.gauges.get(name, 0) + amount

    @rule(worker=workers, name=NAMES, value=st.integers(-(2**63), 2**63 - 1))
    def set(self, worker: Worker, name: str, value: int) -> None:
        worker.writer.gauge(name).set(value)
        worker.expected.gauges[name] = value

    @rule(worker=workers, name=NAMES, value=st.integers(0, 10**12) | st.integers(0, 10**21))
    def record(self, worker: Worker, name: str, value: int) -> None:
        worker.writer.histogram(name).record(value)
        buckets = worker.expected.histograms.setdefault(name, {})
        bucket = histogram.bucket_of(value)
        buckets[bucket] = buckets.get(bucket, 0) + 1

    @rule(worker=workers)
    def die_and_restart(self, worker: Worker) -> None:
        zero_gauges(worker.fd)
        worker.expected.gauges = dict.fromkeys(worker.expected.gauges, 0)
        worker.writer = MetricsWriter(worker.fd)

    @rule(worker=consumes(workers))
    def end(self, worker: Worker) -> None:
        self.base.fold(worker.reader)
        worker.expected.gauges = {}
        self.ended.add(worker.expected)
        self.live.remove(worker)

    @rule()
    def restart_controller(self) -> None:
        self.base = Base(self.base_fd)

    @rule(worker=workers)
    def fresh_reader(self, worker: Worker) -> None:
        worker.reader = MetricsReader(worker.fd)

    @invariant()
    def all_is_there_and_nothing_else(self) -> None:
        total = Metrics()
        total.add(self.ended)
        for worker in self.live:
            assert worker.reader.read() == worker.expected
            total.add(worker.expected)
        merged = self.base.merged(worker.reader for worker in self.live)
        assert merged == total
        for name, value in self.counters_seen.items():
            assert merged.counters[name] >= value
        self.counters_seen = merged.counters

    def teardown(self) -> None:
        for worker in self.live:
            os.close(worker.fd)
        os.close(self.base_fd)


class TableMachine(RuleBasedStateMachine):
    ROWS = st.integers(0, 3) | st.integers(0, 3).map(lambda row: row + ROWS_PER_CHUNK)
    COLUMNS = st.integers(0, 2)
    GAUGES = (0, 2)
    WRITERS = st.integers(0, 3)

    @initialize()
    def start(self) -> None:
        self.fd = create_table("t", rows=4, columns=3, gauges=self.GAUGES, writers=4)
        self.writers = [TableWriter(self.fd, number) for number in range(4)]
        self.reader = TableReader(self.fd)
        self.rows = 4
        self.cells: dict[tuple[int, int, int], int] = {}

    def model_total(self, row: int, column: int) -> int:
        return sum(self.cells.get((writer, row, column), 0) for writer in range(4))

    @rule(writer=WRITERS, row=ROWS, column=COLUMNS, amount=st.integers(-100, 100))
    def add(self, writer: int, row: int, column: int, amount: int) -> None:
        if row < self.rows:
            self.writers[writer].add(row, column, amount)
            self.cells[writer, row, column] = self.cells.get((writer, row, column), 0) + amount

    @rule(writer=WRITERS, row=ROWS, column=COLUMNS, value=st.integers(-(2**63), 2**63 - 1))
    def set(self, writer: int, row: int, column: int, value: int) -> None:
        if row < self.rows:
            self.writers[writer].set(row, column, value)
            self.cells[writer, row, column] = value

    @rule(writer=WRITERS, row=ROWS, column=COLUMNS, limit=st.integers(0, 5))
    def claim(self, writer: int, row: int, column: int, limit: int) -> None:
        if row < self.rows and abs(self.cells.get((writer, row, column), 0)) < 2**62:
            granted = self.writers[writer].claim(row, column, limit)
            assert granted == (self.model_total(row, column) < limit)
            self.cells[writer, row, column] = self.cells.get((writer, row, column), 0) + granted

    @rule(writer=WRITERS)
    def die(self, writer: int) -> None:
        zero_plane(self.fd, writer)
        self.writers[writer] = TableWriter(self.fd, writer)
        for cell in self.cells:
            if cell[0] == writer and cell[2] in self.GAUGES:
                self.cells[cell] = 0

    @rule(row=ROWS)
    def clear(self, row: int) -> None:
        if row < self.rows:
            clear_row(self.fd, row)
            for cell in self.cells:
                if cell[1] == row:
                    self.cells[cell] = 0

    @rule(rows=st.integers(0, 4) | st.integers(0, 4).map(lambda rows: rows + ROWS_PER_CHUNK))
    def grow(self, rows: int) -> None:
        grow(self.fd, rows)
        self.rows = max(rows, self.rows)

    @invariant()
    def cells_agree(self) -> None:
        assert self.reader.rows == self.rows
        for (writer, row, column), value in self.cells.items():
            assert self.reader.plane(writer, row, column) == self.writers[writer].get(row, column) == value
            assert self.reader.total(row, column) == self.model_total(row, column)

    def teardown(self) -> None:
        os.close(self.fd)


TestMetrics = MetricsMachine.TestCase
TestMetrics.settings = settings(deadline=None, max_examples=40, stateful_step_count=30)
TestTable = TableMachine.TestCase
TestTable.settings = settings(deadline=None, max_examples=40, stateful_step_count=30)
