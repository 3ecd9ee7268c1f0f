"""The stats of all processes at one moment, as every renderer takes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from master.stats.complete import complete
from master.stats.derive import Buckets, derive, derive_times
from master.stats.used import counter_used, gauge_used
from shm.metrics import Metrics


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """`histograms` holds bucket counts since start, `intervals` those of the last complete flush interval.

    A histogram that had no sample in that interval has no entry in `intervals`.
    """

    counters: Mapping[str, int]
    gauges: Mapping[str, int]
    histograms: Mapping[str, Buckets]
    intervals: Mapping[str, Buckets]

    def select(self, keep: Callable[[str], bool], *, used_only: bool = False) -> Snapshot:
        """Only the stats whose name `keep` accepts; with `used_only` only those that were ever written."""
        everything, counters = not used_only, self.counters
        return Snapshot(
            {n: value for n, value in counters.items() if keep(n) and (everything or counter_used(n, value))},
            {
                n: value
                for n, value in self.gauges.items()
                if keep(n) and (everything or value or gauge_used(n, counters))
            },
            {
                name: counts
                for name, counts in self.histograms.items()
                if keep(name) and (any(counts.values()) or not used_only)
            },
            self.intervals,
        )


def take(metrics: Metrics, gauges: Mapping[str, int], intervals: Mapping[str, Buckets]) -> Snapshot:
    """Merged `metrics` with their derived counters, `gauges` that the reader itself knows (these win), and every
    further name that Envoy shows.
    """
    known = Metrics(derive(metrics.counters), {**metrics.gauges, **gauges}, metrics.histograms)
    whole = complete(known)
    return Snapshot(whole.counters, whole.gauges, derive_times(whole.histograms), derive_times(intervals))
