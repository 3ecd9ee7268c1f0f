"""The metrics region, format v1. FROZEN: processes of different versions of this program share regions.

All integers are little-endian. A region is a memory file that only grows::

    header area (64 KiB)
        word 0  MAGIC
        word 1  VERSION
        word 2  SERIAL      unique for ever, set when the region is created
        word 3  NAMES_END   how many bytes of the name stream are valid; the one word that publishes a name
        word 4  CHUNKS      how many directory entries are valid; the one word that publishes a chunk
        word 8…             the directory: three words an entry: kind, offset in the file, length in bytes
    chunks, each a multiple of 64 KiB on a border of 64 KiB
        NAMES     records, one after another; all NAMES chunks in the directory's order are one stream
        COUNTERS  unsigned words
        GAUGES    signed words; nothing else, so that they can be zeroed without reading any name
        BLOCKS    unsigned words; counts of histogram buckets

A name record is 16 bytes and the name in UTF-8, padded with zeros to 8 bytes::

    u32 crc     CRC-32 (zlib) of everything after it: the other 12 bytes and the name without its padding
    u8  kind    1 counter, 2 gauge, 3 histogram; 0: no more records in this chunk
    u8  block   of a histogram (`shm.histogram`): a histogram has one record for each block that it uses
    u16 length  of the name in bytes
    u32 word    the first word, counted inside the chunk
    u32 chunk   number of the directory entry that holds the words

A record never crosses the end of its chunk: where fewer than 16 bytes are left, or where `kind` is 0, the stream goes
on in the next NAMES chunk.

The writer may die between any two stores, therefore everything is written first and published by one word after it:
the file grows → the directory entry → CHUNKS; the record → NAMES_END; only then the words are used. What is not
published may be garbage and is overwritten by the next writer; words that no record names are zero.
"""

from __future__ import annotations

import enum
import struct
import zlib
from typing import Final, NamedTuple

from shm.words import ALIGN, WORD

MAGIC: Final = int.from_bytes(b"trirmetr", "little")
VERSION: Final = 1
HEADER_BYTES: Final = ALIGN

H_MAGIC: Final = 0
H_VERSION: Final = 1
H_SERIAL: Final = 2
H_NAMES_END: Final = 3
H_CHUNKS: Final = 4
H_DIRECTORY: Final = 8
ENTRY_WORDS: Final = 3

MAX_CHUNKS: Final = 64
MAX_CHUNK_BYTES: Final = 16 * 1024 * 1024
MAX_NAME_BYTES: Final = 16 * 1024

RECORD: Final = struct.Struct("<IBBHII")
_CRC_BYTES: Final = 4


class ChunkKind(enum.IntEnum):
    NAMES = 1
    COUNTERS = 2
    GAUGES = 3
    BLOCKS = 4


class StatKind(enum.IntEnum):
    COUNTER = 1
    GAUGE = 2
    HISTOGRAM = 3


_CHUNK_KINDS: Final = frozenset(ChunkKind)
_STAT_KINDS: Final = frozenset(StatKind)
CHUNK_OF: Final = {
    StatKind.COUNTER: ChunkKind.COUNTERS,
    StatKind.GAUGE: ChunkKind.GAUGES,
    StatKind.HISTOGRAM: ChunkKind.BLOCKS,
}


class Entry(NamedTuple):
    """A directory entry: an area of the file, in bytes."""

    kind: ChunkKind
    offset: int
    length: int


class Record(NamedTuple):
    """A stat's name and where its words are."""

    kind: StatKind
    block: int
    name: str
    chunk: int
    word: int


def parse_entry(kind: int, offset: int, length: int, file_size: int) -> Entry | None:
    """A directory entry as found in a region that nobody vouches for; None unless it lies inside the file."""
    if kind not in _CHUNK_KINDS:
        return None
    if offset % ALIGN or length % ALIGN or not 0 < length <= MAX_CHUNK_BYTES:
        return None
    if offset < HEADER_BYTES or offset + length > file_size:
        return None
    return Entry(ChunkKind(kind), offset, length)


def encode_name(name: str) -> bytes:
    """`name` as it stands in a record. Raises ValueError if it is empty or too long."""
    data = name.encode()
    if not 0 < len(data) <= MAX_NAME_BYTES:
        shown = name if len(name) <= 80 else name[:80] + "…"
        raise ValueError(f"stat name {shown!r} has {len(data)} bytes; allowed are 1 to {MAX_NAME_BYTES}")
    return data


def pack_record(kind: StatKind, block: int, name: bytes, chunk: int, word: int) -> bytes:
    """The bytes of one record, with its padding."""
    head = RECORD.pack(0, kind, block, len(name), word, chunk)
    crc = zlib.crc32(name, zlib.crc32(head[_CRC_BYTES:]))
    return RECORD.pack(crc, kind, block, len(name), word, chunk) + name + bytes(-len(name) % WORD)


def record_bytes(name_length: int) -> int:
    """How long the record of a name is."""
    return RECORD.size + name_length + -name_length % WORD


def parse_record(names: memoryview, at: int, end: int) -> tuple[int, Record | None]:
    """The record at byte `at` of a NAMES chunk that is valid up to `end`: (where the next one begins, the record).

    The record is None if its CRC does not match. The next position is `end` where the chunk holds no more records.
    """
    if end - at < RECORD.size:
        return end, None
    crc, kind, block, length, word, chunk = RECORD.unpack_from(names, at)
    following = at + record_bytes(length)
    if kind == 0 or following > end:
        return end, None
    start = at + RECORD.size
    checked = zlib.crc32(names[start : start + length], zlib.crc32(names[at + _CRC_BYTES : start]))
    if checked != crc or kind not in _STAT_KINDS:
        return following, None
    name = bytes(names[start : start + length]).decode(errors="replace")
    return following, Record(StatKind(kind), block, name, chunk, word)
