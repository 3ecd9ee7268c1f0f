"""Rates in words of shared memory, for whoever shows them: seconds (monotonic) in the upper half, so that the newest
word of all writers is the greatest, and a 32-bit float. -1 stands for none, as in Envoy.
"""

from __future__ import annotations

import struct

NONE = -1.0
_HALF = 32


def pack(rate: float, seconds: int) -> int:
    """The word for `rate` at `seconds`."""
    bits: int = struct.unpack("<I", struct.pack("<f", rate))[0]
    return seconds << _HALF | bits


def unpack(word: int) -> float:
    """The rate in `word`, to the six digits that a 32-bit float holds; -1 where nobody has written any."""
    if not word:
        return NONE
    rate: float = struct.unpack("<f", struct.pack("<I", word & (1 << _HALF) - 1))[0]
    return float(f"{rate:.6g}")
