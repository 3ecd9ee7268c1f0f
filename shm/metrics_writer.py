"""The writing end of a metrics region: finds or creates stats by name and hands out handles to their words.

One thread of one process writes a region: `words[i] += n` reads and writes back.
"""

from __future__ import annotations

import os

from shm import layout
from shm.histogram import EXACT, block_words, place_of
from shm.layout import ChunkKind, StatKind
from shm.region import NameWalk, Region, RegionError, words_of
from shm.words import UNSIGNED_END, wrap_signed

# The first chunk of each kind; every further one is twice as long as the one before, up to `layout.MAX_CHUNK_BYTES`.
_FIRST_BYTES = {
    ChunkKind.NAMES: 64 * 1024,
    ChunkKind.COUNTERS: 64 * 1024,
    ChunkKind.GAUGES: 64 * 1024,
    ChunkKind.BLOCKS: 256 * 1024,
}


class Counter:
    """A value that only grows (modulo 2**64)."""

    __slots__ = ("_index", "_words")

    def __init__(self, words: memoryview, index: int) -> None:
        self._words = words
        self._index = index

    def inc(self, amount: int = 1) -> None:
        """Adds `amount` ≥ 0."""
        try:
            self._words[self._index] += amount
        except ValueError:  # past 2**64; a `try` that does not fail costs nothing
            if amount < 0:
                raise
            self._words[self._index] = (self._words[self._index] + amount) % UNSIGNED_END


class Gauge:
    """A signed value that goes up and down (modulo 2**64)."""

    __slots__ = ("_index", "_words")

    def __init__(self, words: memoryview, index: int) -> None:
        self._words = words
        self._index = index

    def add(self, amount: int) -> None:
        try:
            self._words[self._index] += amount
        except ValueError:
            self._words[self._index] = wrap_signed(self._words[self._index] + amount)

    def set(self, value: int) -> None:
        self._words[self._index] = value


class Histogram:
    """A distribution of whole numbers from 0 on; a block of buckets is allocated when its first value comes."""

    __slots__ = ("_blocks", "_low", "_name", "_writer")

    def __init__(self, writer: MetricsWriter, name: str) -> None:
        self._writer = writer
        self._name = name
        self._low = writer.histogram_block(name, 0)
        self._blocks: dict[int, memoryview] = {}

    def record(self, value: int) -> None:
        """Counts `value` ≥ 0 (ValueError otherwise)."""
        if 0 <= value < EXACT:
            self._low[value] += 1
            return
        block, index = place_of(value)
        words = self._blocks.get(block)
        if words is None:
            words = self._blocks[block] = self._writer.histogram_block(self._name, block)
        words[index] += 1


class MetricsWriter:
    """Attaches to a region, new or of a writer that died at any instruction, and goes on from its values.

    Raises RegionError if `fd` is not a region. `fd` stays the caller's and must stay open.
    """

    def __init__(self, fd: int) -> None:
        self._region = Region(fd, writable=True)
        self._found: dict[tuple[StatKind, int, str], tuple[int, int]] = {}
        self._fill: dict[int, int] = {}  # chunk → first word (NAMES: byte) that no record uses
        self._handles: dict[tuple[StatKind, str], Counter | Gauge | Histogram] = {}
        for record in NameWalk(self._region).records():
            if self._region.words(record) is None:
                continue
            self._found.setdefault((record.kind, record.block, record.name), (record.chunk, record.word))
            end = record.word + words_of(record.kind, record.block)
            self._fill[record.chunk] = max(end, self._fill.get(record.chunk, 0))
        self._names = memoryview(b"")  # the NAMES chunk in which the stream ends
        self._names_start = 0  # where that chunk begins in the stream
        self._names_at = 0  # where the next record begins in that chunk
        self._names_chunks = 0  # how many NAMES chunks there are up to that one
        self._find_names_end()

    def counter(self, name: str) -> Counter:
        """The counter of this name. Raises ValueError if the name is empty or longer than 16 KiB."""
        handle = self._handles.get((StatKind.COUNTER, name))
        if not isinstance(handle, Counter):
            handle = Counter(*self._place(StatKind.COUNTER, 0, name))
            self._handles[StatKind.COUNTER, name] = handle
        return handle

    def gauge(self, name: str) -> Gauge:
        """The gauge of this name; errors as `counter`."""
        handle = self._handles.get((StatKind.GAUGE, name))
        if not isinstance(handle, Gauge):
            handle = Gauge(*self._place(StatKind.GAUGE, 0, name))
            self._handles[StatKind.GAUGE, name] = handle
        return handle

    def histogram(self, name: str) -> Histogram:
        """The histogram of this name; errors as `counter`."""
        handle = self._handles.get((StatKind.HISTOGRAM, name))
        if not isinstance(handle, Histogram):
            handle = self._handles[StatKind.HISTOGRAM, name] = Histogram(self, name)
        return handle

    def histogram_block(self, name: str, block: int) -> memoryview:
        """The words of one block of a histogram."""
        view, index = self._place(StatKind.HISTOGRAM, block, name)
        return view[index : index + block_words(block)]

    def _place(self, kind: StatKind, block: int, name: str) -> tuple[memoryview, int]:
        """Where a stat's words are: found, or allocated and named."""
        data = layout.encode_name(name)
        place = self._found.get((kind, block, name))
        if place is None:
            chunk, index = self._allocate(layout.CHUNK_OF[kind], words_of(kind, block))
            self._append(layout.pack_record(kind, block, data, chunk, index))
            self._fill[chunk] = index + words_of(kind, block)
            place = self._found[kind, block, name] = chunk, index
        chunk, index = place
        return self._view(chunk), index

    def _allocate(self, kind: ChunkKind, count: int) -> tuple[int, int]:
        """(chunk, index) of `count` words that no record names.

        They are zero, unless a record that named them was damaged: such words are passed over, since a new stat must
        not begin with a value.
        """
        last = max((number for number, _ in self._region.of_kind(kind)), default=None)
        if last is not None:
            view = self._view(last)
            for index in range(self._fill.get(last, 0), len(view) - count + 1, count):
                if not any(view[index : index + count]):
                    return last, index
        return self._add_chunk(kind), 0

    def _append(self, record: bytes) -> None:
        """Writes a record behind the published ones, then publishes it."""
        if self._names_at + len(record) > len(self._names):
            if len(self._names) - self._names_at >= layout.RECORD.size:
                # A writer may have died here in the middle of a record: tell readers that nothing follows.
                self._names[self._names_at : self._names_at + layout.RECORD.size] = bytes(layout.RECORD.size)
            self._next_names_chunk()
        end = self._names_at + len(record)
        self._names[self._names_at : end] = record
        self._region.header[layout.H_NAMES_END] = self._names_start + end
        self._names_at = end

    def _find_names_end(self) -> None:
        """Goes to the NAMES chunk in which the stream ends."""
        end = self._region.header[layout.H_NAMES_END]
        for _, chunk in self._region.of_kind(ChunkKind.NAMES):
            if end <= self._names_start + len(self._names):
                break
            self._enter(chunk.view)
        self._names_at = min(end - self._names_start, len(self._names))

    def _next_names_chunk(self) -> None:
        """Goes on to the next NAMES chunk: one that a predecessor published but never used, or a new one."""
        chunks = [number for number, _ in self._region.of_kind(ChunkKind.NAMES)]
        unused = chunks[self._names_chunks :]
        self._enter(self._view(unused[0] if unused else self._add_chunk(ChunkKind.NAMES)))

    def _enter(self, view: memoryview) -> None:
        self._names_start += len(self._names)
        self._names = view
        self._names_at = 0
        self._names_chunks += 1

    def _add_chunk(self, kind: ChunkKind) -> int:
        """Appends a chunk to the region; its number. Raises RegionError if the directory is full."""
        region = self._region
        number = len(region.chunks)
        if number == layout.MAX_CHUNKS:
            raise RegionError(f"the metrics region is full: {number} chunks")
        before = sum(1 for _ in region.of_kind(kind))
        length = min(_FIRST_BYTES[kind] << before, layout.MAX_CHUNK_BYTES)
        # A predecessor may have let the file grow without publishing the chunk: the space is taken again.
        offset = max((chunk.end for chunk in region.chunks if chunk is not None), default=layout.HEADER_BYTES)
        if os.fstat(region.fd).st_size < offset + length:
            os.ftruncate(region.fd, offset + length)
        at = layout.H_DIRECTORY + layout.ENTRY_WORDS * number
        region.header[at], region.header[at + 1], region.header[at + 2] = kind, offset, length
        region.header[layout.H_CHUNKS] = number + 1
        region.refresh()
        return number

    def _view(self, number: int) -> memoryview:
        chunk = self._region.chunks[number]
        if chunk is None:
            raise RegionError(f"chunk {number} of the metrics region is damaged")
        return chunk.view
