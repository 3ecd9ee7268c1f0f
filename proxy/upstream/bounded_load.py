"""Consistent hashing with bounded loads (`hash_balance_factor`; Mirrokni et al., 2016): a host that has much more than
its share of the requests gets no more, but another one does, which follows from the hash of the request.

The host is Envoy's (`BoundedLoadHashingLoadBalancer`), so its draws are those of C++'s `std::mt19937`.
"""

from __future__ import annotations

import math
from random import Random

from proxy.config.cluster import Host
from proxy.upstream.lb import HashingLoadBalancer, Surroundings, Weighted

_WORDS = 624  # of the state of a Mersenne Twister
_MASK = 2**32 - 1


class BoundedLoad:
    """Over the `table` of all hosts."""

    __slots__ = ("_factor", "_hosts", "_shares", "_surroundings", "_table")

    def __init__(self, surroundings: Surroundings, table: HashingLoadBalancer) -> None:
        self._surroundings = surroundings
        self._factor = surroundings.config.hashing.balance_factor
        self._table = table
        self._hosts: list[Host] = []
        self._shares: dict[Host, float] = {}

    def update(self, hosts: Weighted) -> None:
        """Balance over `hosts` from now on."""
        self._table.update(hosts)
        self._hosts = [host for host, _ in hosts]
        self._shares = dict(hosts)

    def find(self, number: int, attempt: int = 0) -> Host | None:
        """The host of `number`, or the least loaded of all if every one has too much. None if there are none."""
        host = self._table.find(number, attempt)
        if host is None:
            return None
        slots = ((self._surroundings.active_in_cluster() + 1) * self._factor + 99) // 100
        least = self._load(host, slots)
        if least <= 1:
            return host
        best = host
        for other in _shuffled(self._hosts, number):
            if other is host:
                continue
            load = self._load(other, slots)
            if load <= 1:
                return other
            if load < least:
                best, least = other, load
        return best

    def _load(self, host: Host, slots: int) -> float:
        """Which part of its own of all `slots` is taken; more than 1 is too much."""
        return self._surroundings.active(host) / max(1, math.ceil(slots * self._shares[host]))


def _shuffled(hosts: list[Host], seed: int) -> list[Host]:
    """All of them, in an order that follows from `seed`."""
    draw = twister(seed)
    hosts = list(hosts)
    for place in range(len(hosts)):
        left = len(hosts) - place
        chosen = left
        while chosen >= left:
            chosen = draw.getrandbits(32) // (2**32 // left)
        hosts[place], hosts[place + chosen] = hosts[place + chosen], hosts[place]
    return hosts


def twister(seed: int) -> Random:
    """`std::mt19937(seed)`, whose numbers are `getrandbits(32)`. Python's own seeds lead elsewhere."""
    state = [seed & _MASK]
    for number in range(1, _WORDS):
        last = state[-1]
        state.append((1812433253 * (last ^ last >> 30) + number) & _MASK)
    made = Random()
    made.setstate((3, (*state, _WORDS), None))
    return made
