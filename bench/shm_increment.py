"""What one operation on shared memory costs. Prints; run it as `python bench/shm_increment.py`."""

from __future__ import annotations

import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from shm.metrics import MetricsReader, MetricsWriter, create_region
from shm.table import TableWriter, create_table

CALLS = 200_000


def show(what: str, call: Callable[[], object], calls: int = CALLS) -> None:
    """Prints the CPU time of the best of five rounds; the call itself is in it."""
    best = min(timeit.repeat(call, timer=time.process_time, number=calls, repeat=5))
    print(f"{what:44} {best / calls * 1e9:9.0f} ns")


def main() -> None:
    region = create_region(1)
    writer = MetricsWriter(region)
    counter, gauge, histogram = writer.counter("c"), writer.gauge("g"), writer.histogram("h")
    show("Counter.inc()", counter.inc)
    show("Counter.inc(1234)", lambda: counter.inc(1234))
    show("Gauge.add(1)", lambda: gauge.add(1))
    show("Histogram.record(42)", lambda: histogram.record(42))
    show("Histogram.record(5120)", lambda: histogram.record(5120))
    table = create_table("t", rows=1_000, columns=8, gauges=[1], writers=256)
    planes = [TableWriter(table, number) for number in range(2, 10)]
    show("TableWriter.add", lambda: planes[0].add(7, 0, 1))
    show("TableWriter.total, 8 workers", lambda: planes[0].total(7, 1))

    def claim() -> None:
        planes[0].claim(7, 1, 100)
        planes[0].release(7, 1)

    show("TableWriter.claim and release, 8 workers", claim)
    for number in range(20_000):
        writer.counter(f"cluster.service-{number}.upstream_rq_total")
    show("MetricsReader.read, 20,000 counters", MetricsReader(region).read, 10)


if __name__ == "__main__":
    main()
