"""Tables that all workers share: rows (hosts, clusters) × columns × one plane per writer.

Each writer adds to the words of its own plane; the value of a cell is the sum over the planes. Circuit breakers and
load balancers thereby see all workers without a lock::

    header area (64 KiB)
        word 0  MAGIC    word 1  VERSION    word 2  columns    word 3  writers    word 4  gauge columns, a bit each
        word 5  ROWS: how many rows exist; the word that publishes growth
        byte 64…  a byte per writer, set by itself: its plane is in use
    chunks of ROWS_PER_CHUNK rows, each: plane of writer 0, plane of writer 1 …; a plane: columns × rows signed words

Pages that nobody touches cost no memory, so unused planes are free, and so are columns of what no row makes use of. The
controller lets a table grow by publishing more rows; a writer maps them when it first meets one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, NamedTuple

from shm import memfd
from shm.words import ALIGN, WORD, aligned, map_area, wrap_signed

MAGIC: Final = int.from_bytes(b"trirtabl", "little")
VERSION: Final = 1
MAX_COLUMNS: Final = 64
MAX_WRITERS: Final = 1024
MAX_ROWS: Final = 1 << 22
ROWS_PER_CHUNK: Final = 4096

_ROWS: Final = 5
_HEADER_WORDS: Final = 6
_PLANES: Final = 64


class _Shape(NamedTuple):
    columns: int
    writers: int
    gauges: int  # a bit per column
    rows: int

    @property
    def plane_words(self) -> int:
        return ROWS_PER_CHUNK * self.columns

    @property
    def chunk_bytes(self) -> int:
        return aligned(self.plane_words * self.writers * WORD)

    def file_bytes(self, rows: int) -> int:
        return ALIGN + chunks_for(rows) * self.chunk_bytes


def create_table(name: str, *, rows: int, columns: int, gauges: Iterable[int], writers: int) -> int:
    """A new table of zeros. `gauges` are the columns that fall back to zero when their writer dies."""
    if not (0 < columns <= MAX_COLUMNS and 0 < writers <= MAX_WRITERS and 0 <= rows <= MAX_ROWS):
        raise ValueError(f"no table can have {rows} rows, {columns} columns and {writers} writers")
    mask = 0
    for column in gauges:
        if not 0 <= column < columns:
            raise ValueError(f"gauge column {column} is not among {columns} columns")
        mask |= 1 << column
    shape = _Shape(columns, writers, mask, rows)
    fd = memfd.create(name, shape.file_bytes(rows))
    header = (MAGIC, VERSION, columns, writers, mask, rows)
    memfd.write_at(fd, b"".join(word.to_bytes(WORD, "little") for word in header), 0)
    return fd


def grow(fd: int, rows: int) -> None:
    """Makes the table at least `rows` rows long; by the controller alone. Raises ValueError if that is too many."""
    shape = _require_shape(fd)
    if rows > MAX_ROWS:
        raise ValueError(f"a table has at most {MAX_ROWS} rows, not {rows}")
    if rows <= shape.rows:
        return
    if os.fstat(fd).st_size < shape.file_bytes(rows):
        os.ftruncate(fd, shape.file_bytes(rows))
    map_area(fd, 0, ALIGN, "Q", writable=True)[_ROWS] = rows


def clear_row(fd: int, row: int) -> None:
    """Zeroes a row in every plane; by the controller before the row gets a new meaning, while no writer uses it."""
    shape = _require_shape(fd)
    if not 0 <= row < shape.rows:
        raise IndexError(f"row {row} is not among {shape.rows} rows")
    chunk, index = divmod(row, ROWS_PER_CHUNK)
    start, zero = ALIGN + chunk * shape.chunk_bytes + index * WORD, bytes(WORD)
    for writer, used in enumerate(memfd.read_at(fd, shape.writers, _PLANES)):
        for column in range(shape.columns if used else 0):
            at = start + (writer * shape.columns + column) * ROWS_PER_CHUNK * WORD
            if memfd.read_at(fd, WORD, at) != zero:  # pages that were never touched stay holes
                memfd.write_at(fd, zero, at)


def zero_plane(fd: int, writer: int) -> None:
    """Zeroes the gauge columns of a dead writer; by the supervisor after `waitpid`, before the successor starts.

    Does nothing if the header is damaged or has no such plane: the supervisor must outlive what workers can write.
    """
    shape = _shape(fd)
    if shape is None or not 0 <= writer < shape.writers:
        return
    zeros = bytes(ROWS_PER_CHUNK * WORD)
    gauges = [column for column in range(shape.columns) if shape.gauges >> column & 1]
    for chunk in range(chunks_for(shape.rows)):
        plane = ALIGN + chunk * shape.chunk_bytes + writer * shape.plane_words * WORD
        for column in gauges:
            at = plane + column * len(zeros)
            if memfd.read_at(fd, len(zeros), at) != zeros:
                memfd.write_at(fd, zeros, at)


class _Table:
    """What writers and readers share: the maps, and sums over planes."""

    __slots__ = ("_chunks", "_columns", "_fd", "_header", "_plane_words", "_planes", "_shape", "_used", "_used_words")

    def __init__(self, fd: int, *, writable: bool) -> None:
        self._shape = _require_shape(fd)
        self._fd = fd
        self._header = map_area(fd, 0, ALIGN, "Q", writable=writable)
        self._planes = self._header.cast("B")[_PLANES : _PLANES + self._shape.writers]
        self._columns = self._shape.columns
        self._plane_words = self._shape.plane_words
        self._used = b""
        self._used_words = 0
        self._chunks: list[memoryview] = []

    @property
    def rows(self) -> int:
        """How many rows are published."""
        return min(self._header[_ROWS], MAX_ROWS)

    def total(self, row: int, column: int) -> int:
        """The value of a cell: the sum over all planes. Raises IndexError if there is no such cell."""
        return sum(self.words(row, column))

    def highest(self, row: int, column: int) -> int:
        """The greatest word of a cell. Where words begin with a time, it is what was written last, by whomever."""
        return max(self.words(row, column), default=0)

    def words(self, row: int, column: int) -> memoryview:
        """The words of a cell, one per plane that is in use. Raises IndexError if there is no such cell."""
        view, at = self._cell(row, column)
        used = self._planes.tobytes()
        if used != self._used:  # another writer has come
            self._used = used
            self._used_words = (used.rfind(1) + 1) * self._plane_words
        return view[at : at + self._used_words : self._plane_words]

    def _cell(self, row: int, column: int) -> tuple[memoryview, int]:
        """Where a cell is in plane 0: (chunk, word)."""
        if row < 0 or not 0 <= column < self._columns:
            raise IndexError(f"no cell ({row}, {column})")
        chunk = row // ROWS_PER_CHUNK
        if chunk >= len(self._chunks):
            self._map(row)
        return self._chunks[chunk], column * ROWS_PER_CHUNK + row % ROWS_PER_CHUNK

    def _map(self, row: int) -> None:
        """Maps the chunks up to the one that holds `row`."""
        if row >= self.rows or os.fstat(self._fd).st_size < self._shape.file_bytes(row + 1):
            raise IndexError(f"row {row} is not among {self.rows} rows")
        size = self._shape.chunk_bytes
        while len(self._chunks) <= row // ROWS_PER_CHUNK:
            self._chunks.append(self._chunk(ALIGN + len(self._chunks) * size, size))

    def _chunk(self, offset: int, size: int) -> memoryview:
        return map_area(self._fd, offset, size, "q", writable=not self._header.readonly)


class TableWriter(_Table):
    """One writer's end. Raises ValueError if `fd` is no table or has no such plane. `fd` stays the caller's."""

    __slots__ = ("_offset",)

    def __init__(self, fd: int, writer: int) -> None:
        super().__init__(fd, writable=True)
        if not 0 <= writer < self._shape.writers:
            raise ValueError(f"writer {writer} is not among {self._shape.writers} writers")
        self._offset = writer * self._plane_words
        self._planes[writer] = 1

    def add(self, row: int, column: int, amount: int) -> None:
        """Adds to the own word."""
        view, at = self._cell(row, column)
        try:
            view[at + self._offset] += amount
        except ValueError:
            view[at + self._offset] = wrap_signed(view[at + self._offset] + amount)

    def set(self, row: int, column: int, value: int) -> None:
        """Sets the own word."""
        view, at = self._cell(row, column)
        view[at + self._offset] = value

    def get(self, row: int, column: int) -> int:
        """The own word."""
        view, at = self._cell(row, column)
        return view[at + self._offset]

    def claim(self, row: int, column: int, limit: int) -> bool:
        """Takes one of `limit` places that all writers share; False if there is none. Undone by `release`.

        It adds first and looks then: who checks before adding lets everybody in who checks at the same moment.
        Writers that claim the last place at the same moment may all be refused.
        """
        self.add(row, column, 1)
        if self.total(row, column) > limit:
            self.add(row, column, -1)
            return False
        return True

    def release(self, row: int, column: int) -> None:
        """Gives a claimed place back."""
        self.add(row, column, -1)

    def ensure_rows(self, rows: int) -> None:
        """Maps the first `rows` rows. Raises IndexError if the controller has not published that many (`grow`)."""
        if rows:
            self._cell(rows - 1, 0)


class TableReader(_Table):
    """A read-only view. Raises ValueError if `fd` is no table. `fd` stays the caller's and must stay open."""

    __slots__ = ()

    def __init__(self, fd: int) -> None:
        super().__init__(fd, writable=False)

    def plane(self, writer: int, row: int, column: int) -> int:
        """One writer's word. Raises IndexError if there is none."""
        if not 0 <= writer < self._shape.writers:
            raise IndexError(f"writer {writer} is not among {self._shape.writers} writers")
        view, at = self._cell(row, column)
        return view[at + writer * self._plane_words]


def chunks_for(rows: int) -> int:
    """How many chunks hold `rows` rows."""
    return -(-rows // ROWS_PER_CHUNK)


def _shape(fd: int) -> _Shape | None:
    """The shape that the header tells; None unless it is possible and inside the file."""
    size = os.fstat(fd).st_size
    head = memfd.read_at(fd, _HEADER_WORDS * WORD, 0)
    if len(head) < _HEADER_WORDS * WORD:
        return None
    magic, version, columns, writers, gauges, rows = memoryview(head).cast("Q")
    shape = _Shape(columns, writers, gauges, rows)
    possible = 0 < columns <= MAX_COLUMNS and 0 < writers <= MAX_WRITERS and rows <= MAX_ROWS
    if (magic, version) != (MAGIC, VERSION) or not possible or size < shape.file_bytes(rows):
        return None
    return shape


def _require_shape(fd: int) -> _Shape:
    shape = _shape(fd)
    if shape is None:
        raise ValueError(f"descriptor {fd} is not a table of version {VERSION}")
    return shape
