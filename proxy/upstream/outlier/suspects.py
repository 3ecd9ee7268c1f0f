"""How the worker that decides hears of hosts that others have found to fail too often in a row: a word per worker in
the cluster's row, with a number that grows and the row of the host that was found last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from proxy.upstream.tables import ClusterColumn, Table

_HOST_BITS: Final = 32
_HOST: Final = (1 << _HOST_BITS) - 1


class Suspects:
    """Of the cluster in row `slot`."""

    def __init__(self, clusters: Table, slot: int) -> None:
        self._clusters = clusters
        self._slot = slot
        self._seen: tuple[int, ...] | None = None

    def tell(self, host: int) -> None:
        """This worker has found the host in row `host`."""
        number = self._clusters.get(self._slot, ClusterColumn.DETECTIONS) >> _HOST_BITS
        self._clusters.set(self._slot, ClusterColumn.DETECTIONS, (number + 1) % (1 << 31) << _HOST_BITS | host)

    def news(self) -> Iterator[int | None]:
        """The rows of hosts that were found since the last call; None: some have been missed, so look at all."""
        words = tuple(self._clusters.words(self._slot, ClusterColumn.DETECTIONS))
        before, self._seen = self._seen, words
        if before == words:
            return
        if before is None:
            yield None
            return
        known = before + (0,) * (len(words) - len(before))
        for old, new in zip(known, words, strict=False):
            if new >> _HOST_BITS == (old >> _HOST_BITS) + 1:
                yield new & _HOST
            elif new != old:
                yield None

    def leave(self) -> None:
        """Others look after it now."""
        self._seen = None
