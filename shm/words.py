"""Maps of 8-byte words.

A plain aligned 8-byte load or store is never torn on the machines that we run on, and each word has one writer: that
is all the synchronisation that there is. `mmap.resize` is never used, since other maps and views of the same area
would dangle: what grows gets a further map.
"""

from __future__ import annotations

import mmap
from typing import Final, Literal

WORD: Final = 8
ALIGN: Final = 64 * 1024  # every map begins on such a border: the largest page size of the kernels that we know
UNSIGNED_END: Final = 1 << 64
SIGNED_END: Final = 1 << 63

Format = Literal["B", "Q", "q"]


def map_area(fd: int, offset: int, length: int, form: Format, *, writable: bool) -> memoryview:
    """A view of `length` bytes of `fd` as unsigned words (Q), signed words (q) or bytes (B).

    The caller has checked that the file is that long and cannot shrink. CPython's map keeps a duplicate of `fd`.
    """
    protection = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
    area = mmap.mmap(fd, length, flags=mmap.MAP_SHARED, prot=protection, offset=offset)
    return memoryview(area).cast(form)


def aligned(length: int) -> int:
    """`length` rounded up to `ALIGN`."""
    return -(-length // ALIGN) * ALIGN


def wrap_signed(value: int) -> int:
    """`value` as two's complement of 64 bits."""
    return (value + SIGNED_END) % UNSIGNED_END - SIGNED_END
