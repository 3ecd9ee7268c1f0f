"""MAGLEV: a table that hosts have filled in turn, each in an order of its own (Eisenbud et al., 2016).

The table is Envoy's (`MaglevTable`), so both send the same request to the same host.
"""

from __future__ import annotations

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
        """Fill the table: the heaviest host takes a place in every round, the others in proportion."""
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
        filled, turn = 0, 0
        while filled < size:
            turn += 1
            for index, share in enumerate(shares):
                if turn * share < targets[index]:
                    continue
                targets[index] += heaviest
                place = places[index]
                while table[place] >= 0:
                    place = (place + steps[index]) % size
                table[place] = index
                places[index] = (place + steps[index]) % size
                counts[index] += 1
                filled += 1
                if filled == size:
                    break
        self._table = table
        self.fewest, self.most = min(counts), max(counts)

    def find(self, number: int, attempt: int = 0) -> Host | None:
        """The host in the place of `number`; another `attempt` turns most of its bits. None if there are none."""
        if not self._hosts:
            return None
        if attempt:
            number ^= (_LONGEST - attempt) % _LONGEST
        return self._hosts[self._table[number % len(self._table)]]
