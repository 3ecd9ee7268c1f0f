"""The ranges that an address is in, the smallest first: one look-up for each length of prefix that there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from proxy.net.cidr import packed, parse_range

T = TypeVar("T")


class RangeTable(Generic[T]):
    """`values`: (range, what it stands for). Ranges of one size keep their order."""

    __slots__ = ("_by_size",)

    def __init__(self, values: Iterable[tuple[str, T]]) -> None:
        tables: dict[tuple[int, int], dict[int, list[T]]] = {}
        for text, value in values:
            size, shift, prefix = parse_range(text)
            tables.setdefault((size, shift), {}).setdefault(prefix, []).append(value)
        self._by_size = sorted(tables.items(), key=lambda table: table[0][1])

    def find(self, host: str) -> Iterator[T]:
        """What the ranges of the numeric address `host` stand for; nothing for what is no address."""
        address = packed(host)
        if address is None:
            return
        number = int.from_bytes(address)
        for (size, shift), table in self._by_size:
            if size == len(address):
                yield from table.get(number >> shift, ())
