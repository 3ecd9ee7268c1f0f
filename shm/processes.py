"""The table of processes: who runs, since when, and how it feels. One row of words per slot.

A slot is unique among live processes. Each word has one writer: the supervisor, or the process in the slot. Processes
of several generations share the table, so words may only be added at the end (the header tells how many there are)::

    header area (64 KiB):  word 0 MAGIC   word 1 VERSION   word 2 slots   word 3 words per slot
    slot 0, slot 1 …       STRIDE words each, in the order of `Word`
"""

from __future__ import annotations

import enum
import os
from typing import Final, NamedTuple

from shm import memfd
from shm.words import ALIGN, WORD, aligned, map_area

MAGIC: Final = int.from_bytes(b"trirproc", "little")
VERSION: Final = 1
MAX_SLOTS: Final = 1024
STRIDE: Final = 32  # room for words to come; whole cache lines, so that neighbours do not disturb each other


class Role(enum.IntEnum):
    """What a process is for (0: the slot is free)."""

    NONE = 0
    SUPERVISOR = 1
    TEMPLATE = 2
    CONTROLLER = 3
    WORKER = 4


class State(enum.IntEnum):
    """How far a process is."""

    NONE = 0
    STARTING = 1
    SERVING = 2
    DRAINING = 3


class Word(enum.IntEnum):
    """The words of a slot, in their order in memory."""

    # written by the supervisor
    PID = 0  # 0: the slot is free; written last
    ROLE = 1
    INDEX = 2
    GENERATION = 3
    STARTED_NS = 4
    RESTARTS = 5
    # written by the process itself
    STATE = 6
    HEARTBEAT_NS = 7
    LOOP_LAG_NS = 8
    CONNECTIONS = 9
    REQUESTS_ACTIVE = 10
    ENDPOINTS_VERSION = 11  # of the hosts that the process has applied
    ENDPOINTS_DRAINED = 12  # the last version at which it had no connection to a host that had left
    # written by the supervisor
    ENDED_RESTARTS = 13  # in its own slot: the RESTARTS of all slots that were given up
    # written by the process itself: counts since its start, by which two generations are compared
    BEATS = 14
    BEATS_LATE = 15  # of them, those that its event loop was late for
    REQUESTS = 16  # that have ended, proxied TCP connections included
    REQUESTS_FAILED = 17  # of them, those that failed by our own doing
    CONFIG_VERSION = 18  # of the configuration that it serves; in the supervisor's slot, of the one that is committed


class ProcessInfo(NamedTuple):
    """One slot. Times are `time.monotonic_ns()`; `role` and `state` hold values of `Role` and `State`."""

    slot: int
    pid: int
    role: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    generation: int
    started_ns: int
    restarts: int
    state: int
    heartbeat_ns: int
    loop_lag_ns: int
    connections: int
    requests_active: int
    endpoints_version: int
    endpoints_drained: int
    ended_restarts: int
    beats: int = 0
    beats_late: int = 0
    requests: int = 0
    requests_failed: int = 0
    config_version: int = 0


class ProcessTable:
    """Raises ValueError if `fd` is not a process table. `fd` stays the caller's."""

    def __init__(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        if size < ALIGN:
            raise ValueError(f"descriptor {fd} is too small for a process table")
        header = map_area(fd, 0, ALIGN, "Q", writable=True)
        magic, version, slots, stride = header[:4]
        if (magic, version) != (MAGIC, VERSION) or stride != STRIDE or not 0 < slots <= MAX_SLOTS:
            raise ValueError(f"descriptor {fd} is not a process table of version {VERSION}")
        if size < _file_bytes(slots):
            raise ValueError(f"process table {fd} ends before its last slot")
        self.slots: int = slots
        self._words = map_area(fd, ALIGN, _file_bytes(slots) - ALIGN, "q", writable=True)

    @staticmethod
    def create(slots: int) -> int:
        """A new table with `slots` free slots."""
        if not 0 < slots <= MAX_SLOTS:
            raise ValueError(f"a process table has 1 to {MAX_SLOTS} slots, not {slots}")
        fd = memfd.create("processes", _file_bytes(slots))
        header = (MAGIC, VERSION, slots, STRIDE)
        memfd.write_at(fd, b"".join(word.to_bytes(WORD, "little") for word in header), 0)
        return fd

    def write(self, slot: int, word: Word, value: int) -> None:
        """Sets one word. Raises IndexError if there is no such slot."""
        self._words[self._at(slot) + word] = value

    def read(self, slot: int) -> ProcessInfo:
        """All words of a slot, each by itself. Raises IndexError if there is no such slot."""
        at = self._at(slot)
        return ProcessInfo(slot, *self._words[at : at + len(Word)])

    def live(self) -> list[ProcessInfo]:
        """The slots that are taken, in order."""
        return [self.read(slot) for slot in range(self.slots) if self._words[slot * STRIDE + Word.PID]]

    def clear(self, slot: int) -> None:
        """Frees a slot; by the supervisor after `waitpid`."""
        for word in Word:  # PID first
            self.write(slot, word, 0)

    def _at(self, slot: int) -> int:
        if not 0 <= slot < self.slots:
            raise IndexError(f"slot {slot} is not among {self.slots} slots")
        return slot * STRIDE


def _file_bytes(slots: int) -> int:
    return ALIGN + aligned(slots * STRIDE * WORD)
