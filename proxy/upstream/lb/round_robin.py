"""ROUND_ROBIN: weighted by earliest deadline first, as Envoy's `EdfScheduler`.

A host of weight w comes up every 1/w of virtual time, so in any window two hosts are served in proportion to their
weights, to within one pick each, and a heavy host's picks are spread rather than bunched. Equal weights rotate plainly.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from proxy.config.cluster import Host


class RoundRobin:
    """One worker's rotation over the hosts of one cluster."""

    __slots__ = ("_picked", "_queue", "_seed", "_ties")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._picked = 0
        self._ties = 0  # hosts with the same deadline are served in the order of their last turn
        self._queue: list[tuple[float, int, Host]] = []

    def update(self, hosts: Sequence[Host]) -> None:
        """Start a new rotation, as far into its cycle as the seed and the picks so far lead.

        So neither workers nor frequent updates favour one host, and hosts of equal weight go on where they were.
        Whole shares of the way are computed and only the rest is walked, as Envoy does.
        """
        total = sum(host.weight for host in hosts)
        skipped = (self._seed + self._picked) % total if total else 0
        shares = [skipped * host.weight // total for host in hosts]
        self._queue = [
            ((share + 1) / host.weight, index, host)
            for index, (share, host) in enumerate(zip(shares, hosts, strict=True))
        ]
        self._ties = len(hosts)
        heapq.heapify(self._queue)
        for _ in range(skipped - sum(shares)):
            self._turn()

    def pick(self) -> Host | None:
        """The host whose turn is due first; None if there are none."""
        if not self._queue:
            return None
        self._picked += 1
        return self._turn()

    def _turn(self) -> Host:
        deadline, _, host = self._queue[0]
        self._ties += 1
        heapq.heapreplace(self._queue, (deadline + 1 / host.weight, self._ties, host))
        return host
