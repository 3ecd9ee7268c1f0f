"""ROUND_ROBIN: hosts in turn, heavier ones more often. Equal weights rotate plainly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter

from proxy.config.cluster import Host
from proxy.upstream.edf import Edf
from proxy.upstream.lb import Surroundings

_weight = attrgetter("weight")


class RoundRobin:
    """One worker's rotation over hosts."""

    __slots__ = ("_picked", "_random", "_rotation", "_seed", "_slow_start", "_weight")

    def __init__(self, surroundings: Surroundings) -> None:
        self._seed = surroundings.seed
        self._random = surroundings.random
        self._slow_start = surroundings.slow_start
        self._weight: Callable[[Host], float] = _weight
        self._picked = 0
        self._rotation: Edf[Host] = Edf(())

    def update(self, hosts: Sequence[Host]) -> None:
        """Start a new rotation, as far into its cycle as the seed and the picks so far lead.

        So neither workers nor frequent updates favour one host, and hosts of equal weight go on where they were.
        Whole shares of the way are computed and only the rest is walked, as Envoy does. Weights that change as time
        goes by have no cycle: where each host begins is drawn.
        """
        slow_start, self._weight = self._slow_start, _weight
        if slow_start is not None and slow_start.active:
            weight = self._weight = lambda host: host.weight * slow_start.factor(host)
            self._rotation = Edf((self._random.random() / weight(host), host) for host in hosts)
            return
        total = sum(host.weight for host in hosts)
        skipped = (self._seed + self._picked) % total if total else 0
        shares = [skipped * host.weight // total for host in hosts]
        self._rotation = Edf(((share + 1) / host.weight, host) for share, host in zip(shares, hosts, strict=True))
        for _ in range(skipped - sum(shares)):
            self._rotation.turn(_weight)

    def pick(self) -> Host | None:
        """The host whose turn is due first; None if there are none."""
        if not self._rotation:
            return None
        self._picked += 1
        return self._rotation.turn(self._weight)
