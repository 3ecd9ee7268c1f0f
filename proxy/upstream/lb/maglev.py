"""MAGLEV: a table that hosts have filled in turn, each in an order of its own (Eisenbud et al., 2016).

The table is Envoy's (`MaglevTable`), so both send the same request to the same host.
"""

from __future__ import annotations

import heapq
import math
from array import array

import xxhash

from proxy.config.cluster import Host
from proxy.upstream.hash_key import hash_key
from proxy.upstream.lb import Surroundings, Weighted

_LONGEST = 2**64


class Maglev:
    """`fewest` and `most` say how many places of the table a host has. The table holds indexes, 4 bytes a place."""

    __slots__ = ("_config", "_hosts", "_table", "fewest", "most")

    def __init__(self, surroundings: Surroundings) -> None:
        self._config = surroundings.config.hashing
        self._hosts: list[Host] = []
        self._table = array("i")
        self.fewest = self.most = 0

    def update(self, hosts: Weighted) -> None:
        """Fill the table: the heaviest host takes a place in every round, the others in proportion. Rounds are not gone
        through, as light hosts have no part in most of them.
        """
        size = self._config.table_size
        named = sorted(
            (hash_key(host, use_hostname=self._config.use_hostname), index) for index, (host, _) in enumerate(hosts)
        )
        self._hosts = [hosts[index][0] for _, index in named]
        self._table = array("i")
        counts = [0] * len(named)
        self.fewest = self.most = 0
        if not hosts:
            return
        shares = [hosts[index][1] for _, index in named]
        heaviest = max(shares)
        places = [xxhash.xxh64_intdigest(name) % size for name, _ in named]
        steps = [xxhash.xxh64_intdigest(name, seed=1) % (size - 1) + 1 for name, _ in named]
        targets = [0.0] * len(named)
        table = array("i", [-1]) * size
        queue = [(1, index) for index in range(len(named))]  # by the round in which each has its next place
        for _ in range(size):
            turn, index = queue[0]
            targets[index] += heaviest
            place = places[index]
            while table[place] >= 0:
                place = (place + steps[index]) % size
            table[place] = index
            places[index] = (place + steps[index]) % size
            counts[index] += 1
            heapq.heapreplace(queue, (_due(turn + 1, targets[index], shares[index]), index))
        self._table = table
        self.fewest, self.most = min(counts), max(counts)

    def find(self, number: int, attempt: int = 0) -> Host | None:
        """The host in the place of `number`; another `attempt` turns most of its bits. None if there are none."""
        if not self._hosts:
            return None
        if attempt:
            number ^= (_LONGEST - attempt) % _LONGEST
        return self._hosts[self._table[number % len(self._table)]]


def _due(turn: int, target: float, share: float) -> int:
    """The first round since `turn` in which a host of `share` has come to `target`; the division alone may be off."""
    due = max(turn, math.ceil(target / share))
    while due * share < target:
        due += 1
    while due > turn and (due - 1) * share >= target:
        due -= 1
    return due
