"""What Envoy shows of a histogram, computed from log-linear buckets as circllhist does (features §13 rule 51).

A bucket spans two significant digits: 1.0 to 1.1, 12 to 13, 300 to 310. Where in its bucket a sample lay is not known,
so k samples are taken to be spread evenly over it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from shm.histogram import bounds

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0)
"""What Envoy computes, in its order."""

UPPER_BOUNDS = (
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0, 60000.0,
    300000.0, 600000.0, 1800000.0, 3600000.0,
)  # fmt: skip
"""Envoy's default buckets (`HistogramBucketSettings`), in the stat's unit (milliseconds)."""


def quantiles(buckets: Mapping[int, int]) -> list[float]:
    """The value at each of `QUANTILES`; all NaN if there is no sample."""
    spans = list(bins(buckets))
    total = sum(count for _, _, count in spans)
    if not total:
        return [math.nan] * len(QUANTILES)
    values: list[float] = []
    position, below = 0, 0
    for quantile in QUANTILES:
        rank = max(1, math.ceil(quantile * total))
        while below + spans[position][2] < rank:
            below += spans[position][2]
            position += 1
        low, width, count = spans[position]
        values.append(low + (rank - below) / (count + 1) * width)
    return values


def sample_sum(buckets: Mapping[int, int]) -> float:
    """The samples' approximate sum: each counts as the harmonic mean of its bucket's ends."""
    total = 0.0
    for low, width, count in bins(buckets):
        total += count * (2.0 * low * (low + width) / (low + low + width) if low else 0.0)
    return total


def sample_count(buckets: Mapping[int, int]) -> int:
    """How many samples there are."""
    return sum(buckets.values())


def cumulative(buckets: Mapping[int, int]) -> list[int]:
    """For each of `UPPER_BOUNDS` how many samples are at most that large: those whose bucket begins at or below it."""
    spans = list(bins(buckets))
    counts, position, total = [], 0, 0
    for upper in UPPER_BOUNDS:
        while position < len(spans) and spans[position][0] <= upper:
            total += spans[position][2]
            position += 1
        counts.append(total)
    return counts


def bins(buckets: Mapping[int, int]) -> Iterator[tuple[float, float, int]]:
    """(lower bound, width, count) of each bucket that has samples, lowest first."""
    for low, count in sorted((float(bounds(bucket)[0]), count) for bucket, count in buckets.items() if count > 0):
        yield low, _width(low), count


def _width(low: float) -> float:
    """A bucket is a tenth of its power of ten wide; the bucket of zero has no width."""
    if low == 0:
        return 0.0
    digits = len(str(int(low)))
    return 0.1 if digits == 1 else float(10 ** (digits - 2))
