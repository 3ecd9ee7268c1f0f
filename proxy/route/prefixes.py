"""The longest stored prefix of a text: a binary search over lengths, one hash look-up per step.

Waldvogel, Varghese, Turner, Plattner, "Scalable High Speed IP Routing Lookups" (SIGCOMM 1997). 10,000 prefixes of 60
different lengths take six look-ups.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class LongestPrefix(Generic[T]):
    """`values`: prefix → what `find` returns for a text whose longest prefix it is. Built once, then only asked."""

    __slots__ = ("_lengths", "_table")

    def __init__(self, values: Mapping[bytes, T]) -> None:
        self._lengths = sorted({len(prefix) for prefix in values})
        # Prefixes, and markers: beginnings of longer prefixes that tell the search to go on with greater lengths.
        # A marker's value is that of its own longest prefix, or None.
        self._table: dict[bytes, T | None] = {}
        for prefix in sorted(values, key=len):
            self._insert(prefix, values[prefix])

    def _insert(self, prefix: bytes, value: T) -> None:
        """All shorter prefixes have been inserted."""
        low, high = 0, len(self._lengths)
        while low < high:
            middle = (low + high) // 2
            length = self._lengths[middle]
            if length == len(prefix):
                self._table[prefix] = value
                return
            if length > len(prefix):
                high = middle
                continue
            marker = prefix[:length]
            if marker not in self._table:
                self._table[marker] = self.find(marker)
            low = middle + 1

    def find(self, text: bytes) -> T | None:
        """The value of the longest prefix that `text` begins with, or None."""
        lengths, table = self._lengths, self._table
        best = None
        low, high = 0, len(lengths)
        while low < high:
            middle = (low + high) // 2
            beginning = text[: lengths[middle]]
            if beginning in table:
                best = table[beginning]
                low = middle + 1
            else:
                high = middle
        return best
