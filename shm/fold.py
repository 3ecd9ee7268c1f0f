"""The base: what the regions that have ended counted, merged by name.

A memory file with a header page and two copies of the content, A and B. A fold writes the copy that is not current
and then publishes it by one word, so that a kill at any instruction leaves either the old content, to which the region
still has to be added, or the new one, which remembers the region's serial. One process folds at a time::

    word 0  MAGIC       word 1  VERSION
    word 2  PUBLISHED   how many folds were published; the current copy is this number modulo 2; 0: no content yet
    word 4…6, 8…10      for copy A, B: offset in the file, length in bytes, CRC-32
    content             JSON: {"serials": […], "counters": {name: value}, "histograms": {name: {bucket: count}}}
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable
from typing import Final

from shm import memfd
from shm.metrics_reader import Metrics, MetricsReader
from shm.words import ALIGN, WORD, aligned, map_area

MAGIC: Final = int.from_bytes(b"trirbase", "little")
VERSION: Final = 1
MAX_CONTENT_BYTES: Final = 1 << 30

_PUBLISHED: Final = 2
_COPIES: Final = (4, 8)


def create_base() -> int:
    """A new, empty base."""
    fd = memfd.create("metrics-base", ALIGN)
    memfd.write_at(fd, MAGIC.to_bytes(WORD, "little") + VERSION.to_bytes(WORD, "little"), 0)
    return fd


class Base:
    """Folds regions into the base, and reads base and live regions together.

    Raises ValueError if `fd` is not a base or its content is damaged (which no kill can cause). `fd` stays the
    caller's and must stay open.
    """

    def __init__(self, fd: int) -> None:
        if os.fstat(fd).st_size < ALIGN:
            raise ValueError(f"descriptor {fd} is too small for a metrics base")
        self._fd = fd
        self._header = map_area(fd, 0, ALIGN, "Q", writable=True)
        if self._header[0] != MAGIC or self._header[1] != VERSION:
            raise ValueError(f"descriptor {fd} is not a metrics base of version {VERSION}")
        self._loaded = 0
        self._serials: set[int] = set()
        self._metrics = Metrics()
        self._load()

    def fold(self, region: MetricsReader) -> None:
        """Adds a region whose writer has ended for ever. Does nothing if it was added before.

        Counters and histograms only: an ended process has no gauges. Costs about 2 µs per name.
        """
        self._load()
        if region.serial in self._serials:
            return
        ended = region.read()
        ended.gauges.clear()
        total = Metrics()
        total.add(self._metrics)
        total.add(ended)
        self._publish(total, self._serials | {region.serial})

    def merged(self, live: Iterable[MetricsReader]) -> Metrics:
        """The base and every region of `live` that is not folded into it yet.

        Nothing falls between two calls as long as a region is left out of `live` only after it was folded.
        """
        self._load()
        total = Metrics()
        total.add(self._metrics)
        for region in live:
            if region.serial not in self._serials:
                total.add(region.read())
        return total

    def _load(self) -> None:
        """Reads the current copy unless it is the one that is loaded."""
        published = self._header[_PUBLISHED]
        if published == self._loaded:
            return
        at = _COPIES[published % 2]
        offset, length, crc = self._header[at : at + 3]
        data = memfd.read_at(self._fd, min(length, MAX_CONTENT_BYTES), offset)
        if zlib.crc32(data) != crc:
            raise ValueError("the metrics base is damaged")
        content = json.loads(data)
        self._serials = set(content["serials"])
        self._metrics = Metrics(
            counters=content["counters"],
            histograms={
                name: {int(bucket): count for bucket, count in buckets.items()}
                for name, buckets in content["histograms"].items()
            },
        )
        self._loaded = published

    def _publish(self, metrics: Metrics, serials: set[int]) -> None:
        data = json.dumps(
            {"serials": sorted(serials), "counters": metrics.counters, "histograms": metrics.histograms},
            separators=(",", ":"),
        ).encode()
        published = self._header[_PUBLISHED] + 1
        at = _COPIES[published % 2]
        offset = self._room(published % 2, len(data))
        memfd.write_at(self._fd, data, offset)
        self._header[at], self._header[at + 1], self._header[at + 2] = offset, len(data), zlib.crc32(data)
        self._header[_PUBLISHED] = published
        self._serials, self._metrics, self._loaded = serials, metrics, published

    def _room(self, copy: int, length: int) -> int:
        """Where a copy of `length` bytes can be written without touching the other copy.

        The content grows slowly, so the two copies take turns in front of and behind each other.
        """
        other = _COPIES[1 - copy]
        other_offset, other_end = self._header[other], self._header[other] + self._header[other + 1]
        in_front = other_offset - ALIGN
        return ALIGN if other_offset and length <= in_front else max(ALIGN, aligned(other_end))
