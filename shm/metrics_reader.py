"""The reading end of a metrics region. The writer is not trusted: every place is checked against the file's size."""

from __future__ import annotations

from dataclasses import dataclass, field

from shm import layout
from shm.histogram import BLOCKS, first_bucket
from shm.layout import StatKind
from shm.region import NameWalk, Region

_Place = tuple[memoryview, int]


@dataclass(slots=True)
class Metrics:
    """Values by name. `histograms` maps to {bucket number (`shm.histogram`): count}, without empty buckets."""

    counters: dict[str, int] = field(default_factory=dict)
    gauges: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, dict[int, int]] = field(default_factory=dict)

    def add(self, other: Metrics) -> None:
        """Adds the values of `other`, name by name; counters modulo 2**64."""
        for name, value in other.counters.items():
            self.counters[name] = (self.counters.get(name, 0) + value) % (1 << 64)
        for name, value in other.gauges.items():
            self.gauges[name] = self.gauges.get(name, 0) + value
        for name, buckets in other.histograms.items():
            mine = self.histograms.setdefault(name, {})
            for bucket, count in buckets.items():
                mine[bucket] = mine.get(bucket, 0) + count


class MetricsReader:
    """Reads a region while its writer goes on.

    Raises RegionError if `fd` is not a region. `fd` stays the caller's and must stay open. Records that are damaged
    or point outside are skipped; of several records for one name the first one counts.
    """

    def __init__(self, fd: int) -> None:
        self._region = Region(fd, writable=False)
        self._names = NameWalk(self._region)
        self._counters: dict[str, _Place] = {}
        self._gauges: dict[str, _Place] = {}
        self._blocks: dict[str, dict[int, memoryview]] = {}
        self.serial: int = self._region.header[layout.H_SERIAL]

    def read(self) -> Metrics:
        """The values now, each word by itself. Never raises because of what the region holds."""
        self._learn()
        return Metrics(
            counters={name: view[index] for name, (view, index) in self._counters.items()},
            gauges={name: view[index] for name, (view, index) in self._gauges.items()},
            histograms={name: _counts(blocks) for name, blocks in self._blocks.items()},
        )

    def _learn(self) -> None:
        for record in self._names.records():
            words = self._region.words(record)
            chunk = self._region.chunks[record.chunk] if words is not None else None
            if words is None or chunk is None:
                continue
            if record.kind == StatKind.COUNTER:
                self._counters.setdefault(record.name, (chunk.view, record.word))
            elif record.kind == StatKind.GAUGE:
                self._gauges.setdefault(record.name, (chunk.view, record.word))
            elif record.block < BLOCKS:
                self._blocks.setdefault(record.name, {}).setdefault(record.block, words)


def _counts(blocks: dict[int, memoryview]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for block, words in blocks.items():
        if any(words):
            first = first_bucket(block)
            counts.update({first + index: count for index, count in enumerate(words) if count})
    return counts
