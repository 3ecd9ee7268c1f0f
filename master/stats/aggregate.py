"""Merging what the processes wrote, and the flush intervals of histograms."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

from shm.fold import Base
from shm.metrics import Metrics, MetricsReader

Key = TypeVar("Key", bound=Hashable)

FLUSH_INTERVAL = 5.0
"""Seconds; Envoy's default `stats_flush_interval`."""


class Aggregator:
    """One view of the base region and all live regions, in which no counter ever falls.

    A reader skips a record that is being written (its checksum does not match yet), so a stat may be missing for one
    read. What was read before is therefore kept: the true value cannot be lower.
    """

    def __init__(self, base: Base) -> None:
        self._base = base
        self._counters: dict[str, int] = {}
        self._histograms: dict[str, dict[int, int]] = {}

    def read(self, live: Iterable[MetricsReader]) -> Metrics:
        """Everything written so far by the regions folded and by `live`."""
        now = self._base.merged(live)
        _raise_to(self._counters, now.counters)
        for name, buckets in now.histograms.items():
            _raise_to(self._histograms.setdefault(name, {}), buckets)
        return Metrics(
            counters=dict(self._counters),
            gauges=now.gauges,
            histograms={name: dict(buckets) for name, buckets in self._histograms.items()},
        )


class Intervals:
    """What each histogram gained between the last two flushes (features §13 rule 51).

    It begins with the counts that there are already: those of a controller's predecessor belong to no interval.
    """

    def __init__(self, histograms: Mapping[str, Mapping[int, int]]) -> None:
        self.last: dict[str, dict[int, int]] = {}
        self._flushed = _copied(histograms)

    def flush(self, histograms: Mapping[str, Mapping[int, int]]) -> None:
        """Ends an interval; called every `FLUSH_INTERVAL` seconds with the counts since start."""
        self.last = {}
        for name, buckets in histograms.items():
            before = self._flushed.get(name, {})
            gained = {bucket: count - before.get(bucket, 0) for bucket, count in buckets.items()}
            gained = {bucket: count for bucket, count in gained.items() if count > 0}
            if gained:
                self.last[name] = gained
        self._flushed = _copied(histograms)


def _copied(histograms: Mapping[str, Mapping[int, int]]) -> dict[str, dict[int, int]]:
    return {name: dict(buckets) for name, buckets in histograms.items()}


def _raise_to(kept: dict[Key, int], now: Mapping[Key, int]) -> None:
    for key, value in now.items():
        if value > kept.get(key, -1):
            kept[key] = value
