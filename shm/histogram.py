"""Buckets of a log-linear histogram as in libcircllhist (which Envoy uses): two significant decimal digits.

Whole numbers up to 99 have a bucket each; above, each power of ten has 90 buckets: 100–109, 110–119 … 990–999,
1000–1099 and so on. Buckets are numbered upwards from 0. Their counts are stored in blocks, so that a histogram pays
only for the magnitudes that it has seen: block 0 holds the values 0–99, every further block one power of ten.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

MAX_VALUE: Final = 10**20 - 1
EXACT: Final = 100  # values below have a bucket of their own
PER_DECADE: Final = 90
_DECADES: Final = tuple(int(10**power) for power in range(2, 20))  # the lowest value of block 1, 2 …
BLOCKS: Final = 1 + len(_DECADES)
BUCKETS: Final = EXACT + PER_DECADE * len(_DECADES)


def place_of(value: int) -> tuple[int, int]:
    """Where the count of `value` is stored: (block, index in it).

    What exceeds `MAX_VALUE` counts as that. Raises ValueError if negative.
    """
    if value < EXACT:
        if value < 0:
            raise ValueError(f"a histogram holds values from 0 on, not {value}")
        return 0, value
    block = bisect_right(_DECADES, value)
    return block, min(value, MAX_VALUE) // (_DECADES[block - 1] // 10) - 10


def bucket_of(value: int) -> int:
    """The bucket of `value`; limits as `place_of`."""
    block, index = place_of(value)
    return first_bucket(block) + index


def bounds(bucket: int) -> tuple[int, int]:
    """The values of a bucket: (lowest, one past the highest). Raises ValueError if there is no such bucket."""
    if not 0 <= bucket < BUCKETS:
        raise ValueError(f"no bucket {bucket}")
    if bucket < EXACT:
        return bucket, bucket + 1
    block = (bucket - EXACT) // PER_DECADE + 1
    width = 10**block
    low = (bucket - PER_DECADE * block) * width
    return low, low + width


def first_bucket(block: int) -> int:
    """The lowest bucket of a block."""
    return 0 if block == 0 else EXACT + PER_DECADE * (block - 1)


def block_words(block: int) -> int:
    """How many buckets a block holds."""
    return EXACT if block == 0 else PER_DECADE
