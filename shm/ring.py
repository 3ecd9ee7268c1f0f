"""A ring of the last records of one process, readable by others and after its death: the flight recorder's memory.

::

    header area (64 KiB)   word 0 MAGIC   word 1 VERSION   word 2 slots   word 3 bytes per slot   word 4 NEXT
    slot 0, slot 1 …       sequence (8 bytes), length (4), CRC32 of sequence and payload (4), payload

The writer publishes a record by its header, whose checksum covers it; NEXT tells where the newest stands. A reader
takes a slot only if sequence, length and checksum agree, so what is being overwritten is passed over.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import Final, NamedTuple

from shm import memfd
from shm.words import ALIGN, WORD, aligned, map_area

MAGIC: Final = int.from_bytes(b"trirring", "little")
VERSION: Final = 1
MAX_SLOTS: Final = 1 << 16
MAX_SLOT_BYTES: Final = 1 << 16

_NEXT: Final = 4
_HEAD: Final = struct.Struct("<QII")
_SEQUENCE: Final = struct.Struct("<Q")


class Record(NamedTuple):
    """`sequence` counts from 1 and grows by 1 with every record of the ring's life, over all of its writers."""

    sequence: int
    payload: bytes


def create_ring(*, slots: int, slot_bytes: int) -> int:
    """A new, empty ring of `slots` records of at most `slot_bytes - 16` bytes each."""
    if not (0 < slots <= MAX_SLOTS and _HEAD.size < slot_bytes <= MAX_SLOT_BYTES):
        raise ValueError(f"no ring can have {slots} slots of {slot_bytes} bytes")
    fd = memfd.create("ring", ALIGN + aligned(slots * slot_bytes))
    header = (MAGIC, VERSION, slots, slot_bytes, 1)
    memfd.write_at(fd, b"".join(word.to_bytes(WORD, "little") for word in header), 0)
    return fd


class _Ring:
    """Raises ValueError if `fd` is not a ring. `fd` stays the caller's."""

    def __init__(self, fd: int, *, writable: bool) -> None:
        size = os.fstat(fd).st_size
        if size < ALIGN:
            raise ValueError(f"descriptor {fd} is too small for a ring")
        self._header = map_area(fd, 0, ALIGN, "Q", writable=writable)
        magic, version, slots, slot_bytes = self._header[:_NEXT]
        if (magic, version) != (MAGIC, VERSION):
            raise ValueError(f"descriptor {fd} is not a ring of version {VERSION}")
        if not (0 < slots <= MAX_SLOTS and _HEAD.size < slot_bytes <= MAX_SLOT_BYTES):
            raise ValueError(f"ring {fd} claims {slots} slots of {slot_bytes} bytes")
        if size < ALIGN + slots * slot_bytes:
            raise ValueError(f"ring {fd} ends before its last slot")
        self._slots = slots
        self._slot_bytes = slot_bytes
        self._bytes = map_area(fd, ALIGN, aligned(slots * slot_bytes), "B", writable=writable)

    def _at(self, sequence: int) -> int:
        return sequence % self._slots * self._slot_bytes


class RingWriter(_Ring):
    """Goes on behind the last record of a dead predecessor."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, writable=True)

    @property
    def capacity(self) -> int:
        """Bytes of the longest payload."""
        return self._slot_bytes - _HEAD.size

    def append(self, payload: bytes) -> None:
        """Write a record over the oldest one. Raises ValueError if it is longer than `capacity`."""
        if len(payload) > self.capacity:
            raise ValueError(f"a record of {len(payload)} bytes is longer than {self.capacity}")
        sequence = self._header[_NEXT]
        at = self._at(sequence)
        body = at + _HEAD.size
        self._bytes[body : body + len(payload)] = payload
        self._bytes[at:body] = _HEAD.pack(sequence, len(payload), _checksum(sequence, payload))
        self._header[_NEXT] = sequence + 1


class RingReader(_Ring):
    """Looks at a ring that somebody may be writing, and need not be trusted."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, writable=False)

    def read(self, after: int = 0) -> list[Record]:
        """The records that are whole and newer than the sequence `after`, oldest first."""
        records = []
        for slot in range(self._slots):
            at = slot * self._slot_bytes
            data = bytes(self._bytes[at : at + self._slot_bytes])
            sequence, length, checksum = _HEAD.unpack_from(data)
            payload = data[_HEAD.size : _HEAD.size + length]
            fits = len(payload) == length and sequence % self._slots == slot
            if sequence > after and fits and checksum == _checksum(sequence, payload):
                records.append(Record(sequence, payload))
        return sorted(records)


def _checksum(sequence: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_SEQUENCE.pack(sequence)))
