"""MAGLEV: a table that hosts have filled in turn, each in an order of its own (Eisenbud et al., 2016).

The table is Envoy's (`MaglevTable`), so both send the same request to the same host.
"""

from __future__ import annotations

import heapq
import itertools
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence

import xxhash

from proxy.config.cluster import Host
from proxy.upstream.hash_key import hash_key
from proxy.upstream.lb import Surroundings, Weighted

_LONGEST = 2**64
_FEW_PASS = 8  # times as many, and it is quicker to know whose turn it is next


class Maglev:
    """`fewest` and `most` say how many places of the table a host has. The table holds indexes, 4 bytes a place."""

    __slots__ = ("_config", "_hosts", "_table", "fewest", "most")

    def __init__(self, surroundings: Surroundings) -> None:
        self._config = surroundings.config.hashing
        self._hosts: list[Host] = []
        self._table = array("i")
        self.fewest = self.most = 0

    def update(self, hosts: Weighted) -> None:
        """Fill the table: the heaviest host takes a place in every round, the others in proportion."""
        size = self._config.table_size
        named = sorted(
            (hash_key(host, use_hostname=self._config.use_hostname), index) for index, (host, _) in enumerate(hosts)
        )
        self._hosts = [hosts[index][0] for _, index in named]
        self._table = array("i")
        self.fewest = self.most = 0
        if not hosts:
            return
        shares = [hosts[index][1] for _, index in named]
        self._table = _filled([name for name, _ in named], turns(shares, size), size)
        counts = Counter(self._table)
        self.fewest, self.most = min(counts[index] for index in range(len(named))), max(counts.values())

    def find(self, number: int, attempt: int = 0) -> Host | None:
        """The host in the place of `number`; another `attempt` turns most of its bits. None if there are none."""
        if not self._hosts:
            return None
        if attempt:
            number ^= (_LONGEST - attempt) % _LONGEST
        return self._hosts[self._table[number % len(self._table)]]


def turns(shares: Sequence[float], size: int) -> Iterator[int]:
    """Whose turn it is to take a place, `size` times."""
    heaviest = max(shares)
    if min(shares) == heaviest:
        order: Iterator[int] = itertools.cycle(range(len(shares)))
    elif sum(shares) * _FEW_PASS > len(shares) * heaviest:
        order = _turns_by_rounds(shares, heaviest)
    else:
        order = _turns_by_queue(shares, heaviest)
    return itertools.islice(order, size)


def _turns_by_rounds(shares: Sequence[float], heaviest: float) -> Iterator[int]:
    """Each in each round, unless it passes: what Envoy does."""
    targets = [0.0] * len(shares)
    for turn in itertools.count(1):
        for index, share in enumerate(shares):
            if turn * share >= targets[index]:
                targets[index] += heaviest
                yield index


def _turns_by_queue(shares: Sequence[float], heaviest: float) -> Iterator[int]:
    """The same where light hosts have no part in most of the rounds, which are not gone through."""
    targets = [0.0] * len(shares)
    queue = [(1, index) for index in range(len(shares))]  # by the round in which each has its next place
    while True:
        turn, index = queue[0]
        targets[index] += heaviest
        yield index
        heapq.heapreplace(queue, (_due(turn + 1, targets[index], shares[index]), index))


def _filled(names: Sequence[bytes], order: Iterator[int], size: int) -> array[int]:
    """Each takes the first free place of its own order, in which it goes on from one place by steps of equal length.

    Most of the time to the end would go into the search for the last free places; of few, the one that comes first is
    computed, as `size` is a prime number.
    """
    places = [xxhash.xxh64_intdigest(name) % size for name in names]
    steps = [xxhash.xxh64_intdigest(name, seed=1) % (size - 1) + 1 for name in names]
    table, taken = [0] * size, bytearray(size)
    few = math.isqrt(size)
    for index in itertools.islice(order, size - few):
        place, step = places[index], steps[index]
        while taken[place]:
            place += step
            if place >= size:
                place -= size
        taken[place] = 1
        table[place] = index
        places[index] = (place + step) % size
    free = [place for place in range(size) if not taken[place]]
    for index in order:
        begin, inverse = places[index], pow(steps[index], -1, size)
        place = min(free, key=lambda place: (place - begin) * inverse % size)
        free.remove(place)
        table[place] = index
        places[index] = (place + steps[index]) % size
    return array("i", table)


def _due(turn: int, target: float, share: float) -> int:
    """The first round since `turn` in which a host of `share` has come to `target`; the division alone may be off."""
    due = max(turn, math.ceil(target / share))
    while due * share < target:
        due += 1
    while due > turn and (due - 1) * share >= target:
        due -= 1
    return due
