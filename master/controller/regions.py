"""The metrics of all processes as one: live regions, ended ones, and the base into which those are folded."""

from __future__ import annotations

from master.stats.aggregate import Aggregator
from shm.fold import Base
from shm.metrics import Metrics, MetricsReader


class Regions:
    """Keeps a reader per live slot. Descriptors given to it stay open as long as the region is looked at."""

    def __init__(self, base_fd: int) -> None:
        self._base = Base(base_fd)
        self._aggregator = Aggregator(self._base)
        self._live: dict[int, MetricsReader] = {}

    def add(self, slot: int, fd: int) -> None:
        """A new region for `slot`."""
        self._live[slot] = MetricsReader(fd)

    def end(self, slot: int, serial: int) -> bool:
        """The region `serial` of `slot` was given up: add its counters to the base for ever. False if it is not known
        here: the supervisor then keeps it for the next controller.
        """
        reader = self._live.get(slot)
        if reader is None or reader.serial != serial:
            return False
        del self._live[slot]
        self._base.fold(reader)
        return True

    def fold(self, fd: int) -> None:
        """Fold a region whose end was not seen (this controller's predecessor died before)."""
        self._base.fold(MetricsReader(fd))

    def merged(self) -> Metrics:
        """Counters and histograms summed (none ever falls), gauges summed over live processes."""
        return self._aggregator.read(self._live.values())
