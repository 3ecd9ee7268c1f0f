"""A random choice by weight, as Envoy makes it: one number below the sum, walked through the shares."""

from __future__ import annotations

import itertools
import random
from bisect import bisect_right
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_DIGITS = 20  # of a number of 64 bits


class Weighted(Generic[T]):
    """`choices` are (value, weight ≥ 0); at least one weight is not 0. A value of weight 0 is never picked."""

    __slots__ = ("_bounds", "_values", "total")

    def __init__(self, choices: Sequence[tuple[T, int]]) -> None:
        self._values = tuple(value for value, _ in choices)
        self._bounds = tuple(itertools.accumulate(weight for _, weight in choices))
        self.total = self._bounds[-1]

    def pick(self) -> T:
        """One value at random, in proportion to its weight."""
        return self.at(random.randrange(self.total))

    def at(self, number: int) -> T:
        """The value in whose share `number` (0 ≤ number < sum of the weights) lies."""
        return self._values[bisect_right(self._bounds, number)]


def parse_number(value: bytes | None) -> int | None:
    """An unsigned integer of 64 bits as `absl::SimpleAtoi` reads it, or None."""
    digits = (value or b"").strip(b" \t").removeprefix(b"+")
    if not digits.isdigit() or len(digits) > MAX_DIGITS:
        return None
    number = int(digits)
    return number if number < 2**64 else None
