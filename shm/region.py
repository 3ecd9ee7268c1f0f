"""A mapped metrics region: its header, its chunks, and the walk over its names. Shared by writer and reader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from shm import histogram, layout, memfd
from shm.layout import ChunkKind, Record, StatKind
from shm.words import WORD, Format, map_area

_FORMATS: dict[ChunkKind, Format] = {
    ChunkKind.NAMES: "B",
    ChunkKind.COUNTERS: "Q",
    ChunkKind.GAUGES: "q",
    ChunkKind.BLOCKS: "Q",
}


class RegionError(Exception):
    """A descriptor that is no metrics region of our version, or a region that is full."""


class Chunk(NamedTuple):
    """A mapped chunk. `end` is where it ends in the file, in bytes."""

    kind: ChunkKind
    view: memoryview
    end: int


class Region:
    """The header and the chunks of a region.

    Chunks that are published later are mapped by `refresh`. A directory entry that does not lie inside the file is
    None for ever. `fd` stays the caller's and must stay open as long as this object is used.
    """

    __slots__ = ("_writable", "chunks", "fd", "header")

    def __init__(self, fd: int, *, writable: bool) -> None:
        if os.fstat(fd).st_size < layout.HEADER_BYTES:
            raise RegionError(f"descriptor {fd} is too small for a metrics region")
        self.fd = fd
        self._writable = writable
        self.header = map_area(fd, 0, layout.HEADER_BYTES, "Q", writable=writable)
        if self.header[layout.H_MAGIC] != layout.MAGIC or self.header[layout.H_VERSION] != layout.VERSION:
            raise RegionError(f"descriptor {fd} is not a metrics region of version {layout.VERSION}")
        self.chunks: list[Chunk | None] = []
        self.refresh()

    def refresh(self) -> None:
        """Maps the chunks that were published since the last call."""
        published = min(self.header[layout.H_CHUNKS], layout.MAX_CHUNKS)
        if published == len(self.chunks):
            return
        size = os.fstat(self.fd).st_size
        for number in range(len(self.chunks), published):
            at = layout.H_DIRECTORY + layout.ENTRY_WORDS * number
            kind, offset, length = self.header[at : at + layout.ENTRY_WORDS]
            entry = layout.parse_entry(kind, offset, length, size)
            self.chunks.append(None if entry is None else self.map(*entry))

    def map(self, kind: ChunkKind, offset: int, length: int) -> Chunk:
        """Maps one chunk, whether or not it is published."""
        view = map_area(self.fd, offset, length, _FORMATS[kind], writable=self._writable)
        return Chunk(kind, view, offset + length)

    def of_kind(self, kind: ChunkKind) -> Iterator[tuple[int, Chunk]]:
        """(number, chunk) of each chunk of a kind, in order."""
        for number, chunk in enumerate(self.chunks):
            if chunk is not None and chunk.kind == kind:
                yield number, chunk

    def words(self, record: Record) -> memoryview | None:
        """The words that a record names; None if they are not inside a chunk of its kind."""
        count = words_of(record.kind, record.block)
        chunk = self.chunks[record.chunk] if record.chunk < len(self.chunks) else None
        if chunk is None or chunk.kind != layout.CHUNK_OF[record.kind] or record.word + count > len(chunk.view):
            return None
        return chunk.view[record.word : record.word + count]


class NameWalk:
    """Goes once over the name stream, and on from where it stopped when more is published.

    `records` yields what is intact; the walk stops at NAMES_END. Every length is checked against its chunk.
    """

    __slots__ = ("_at", "_passed", "_region")

    def __init__(self, region: Region) -> None:
        self._region = region
        self._passed = 0  # NAMES chunks that are done with
        self._at = 0  # byte in the current one

    def records(self) -> Iterator[Record]:
        """The intact records that were published since the last call."""
        # NAMES_END first: whatever a record refers to was published before it, so the directory read next has it.
        names_end = self._region.header[layout.H_NAMES_END]
        self._region.refresh()
        start = 0  # of the chunk, in the stream
        for order, (_, chunk) in enumerate(list(self._region.of_kind(ChunkKind.NAMES))):
            length = len(chunk.view)
            end = min(length, names_end - start)
            start += length
            if order < self._passed:
                continue
            while self._at < end:
                self._at, record = layout.parse_record(chunk.view, self._at, end)
                if record is not None:
                    yield record
            if names_end <= start:
                return
            self._passed += 1
            self._at = 0


def words_of(kind: StatKind, block: int) -> int:
    """How many words a record of this kind names."""
    return histogram.block_words(block) if kind == StatKind.HISTOGRAM else 1


def create_region(serial: int) -> int:
    """A new, empty region. `serial` is never used for another one (1 to 2**64 - 1); folding relies on it."""
    if not 0 < serial < 1 << 64:
        raise ValueError(f"serial {serial} is not from 1 to 2**64 - 1")
    fd = memfd.create(f"metrics-{serial}", layout.HEADER_BYTES)
    head = [0] * layout.H_DIRECTORY
    head[layout.H_MAGIC] = layout.MAGIC
    head[layout.H_VERSION] = layout.VERSION
    head[layout.H_SERIAL] = serial
    memfd.write_at(fd, b"".join(word.to_bytes(WORD, "little") for word in head), 0)
    return fd


def zero_gauges(fd: int) -> None:
    """Sets every gauge of a region to 0; its writer is dead and no successor is running yet.

    For the supervisor: no name is parsed, nothing is mapped, and a damaged region is zeroed as far as its directory
    makes sense. It reads and writes through the file, so that holes stay holes.
    """
    size = os.fstat(fd).st_size
    head = memfd.read_at(fd, layout.HEADER_BYTES, 0)
    if len(head) < layout.HEADER_BYTES:
        return
    header = memoryview(head).cast("Q")
    for number in range(min(header[layout.H_CHUNKS], layout.MAX_CHUNKS)):
        at = layout.H_DIRECTORY + layout.ENTRY_WORDS * number
        kind, offset, length = header[at : at + layout.ENTRY_WORDS]
        entry = layout.parse_entry(kind, offset, length, size)
        if entry is not None and entry.kind == ChunkKind.GAUGES:
            _zero(fd, entry.offset, entry.length)


def _zero(fd: int, offset: int, length: int) -> None:
    step = layout.HEADER_BYTES
    zeros = bytes(step)
    for at in range(offset, offset + length, step):
        if memfd.read_at(fd, step, at) != zeros:
            memfd.write_at(fd, zeros, at)
