"""How much of the load each priority gets, and which of them are in panic. Pure: Envoy's `LoadBalancerBase`.

The rules are Envoy's docs "Priority levels", "Degraded endpoints" and "Panic threshold". All loads are whole percent
and sum up to 100.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from typing import NamedTuple


class Level(NamedTuple):
    """One priority: how many hosts there are, and how many of them are healthy, degraded, and `excluded`: in no ratio.

    `healthy_part` and `degraded_part` of the `whole` decide how much load it can take, which may be hosts or weights.
    """

    hosts: int
    healthy: int
    degraded: int
    excluded: int
    healthy_part: int
    degraded_part: int
    whole: int


class Loads(NamedTuple):
    """Percent of the load per priority: for healthy hosts, and for degraded ones; and who is in panic."""

    healthy: tuple[int, ...]
    degraded: tuple[int, ...]
    panic: tuple[bool, ...]

    def choose(self, number: int) -> tuple[int, bool]:
        """The priority for a draw, and whether its degraded hosts are meant."""
        number = number % 100 + 1
        reached = 0
        for degraded, loads in ((False, self.healthy), (True, self.degraded)):
            for priority, load in enumerate(loads):
                reached += load
                if number <= reached:
                    return priority, degraded
        return 0, False


def availability(level: Level, overprovisioning_factor: int) -> tuple[int, int]:
    """Percent of all load that a priority's healthy hosts can take, and its degraded ones."""
    if not level.whole:
        return 0, 0
    factor = overprovisioning_factor
    return min(100, factor * level.healthy_part // level.whole), min(100, factor * level.degraded_part // level.whole)


def loads(levels: Sequence[Level], *, overprovisioning_factor: int = 140, panic_threshold: int = 50) -> Loads:
    """What each of `levels` gets. `panic_threshold` is in percent; 0 is no panic at all."""
    if not levels:
        return Loads((100,), (0,), (panic_threshold > 0,))
    available = [availability(level, overprovisioning_factor) for level in levels]
    total = min(100, sum(healthy + degraded for healthy, degraded in available))
    panic = tuple(total < 100 and in_panic(level, panic_threshold) for level in levels)
    if all(panic):
        return Loads(_by_hosts(levels), (0,) * len(levels), panic)
    if not total:
        # Nobody is there and nobody may panic: the first priority gets it all, in vain.
        return Loads((100, *(0,) * (len(levels) - 1)), (0,) * len(levels), panic)
    healthy, left = _distribute([one for one, _ in available], 100, total)
    degraded, left = _distribute([one for _, one in available], left, total)
    for share, of in ((healthy, 0), (degraded, 1)):  # what rounding has left goes to the first that can take anything
        first = next((index for index, one in enumerate(available) if one[of]), None)
        if first is not None:
            share[first] += left
            break
    return Loads(tuple(healthy), tuple(degraded), panic)


def without(levels: Sequence[Level], excluded: Collection[int], overprovisioning_factor: int) -> Loads | None:
    """What each of `levels` gets if those of the numbers `excluded` get nothing (Envoy's retry priorities). Panic is no
    matter here. None if nobody else can take anything.
    """
    available = [
        (0, 0) if index in excluded else availability(level, overprovisioning_factor)
        for index, level in enumerate(levels)
    ]
    total = min(100, sum(healthy + degraded for healthy, degraded in available))
    if not total:
        return None
    healthy, degraded, left = [0] * len(levels), [0] * len(levels), 100
    while left:  # what rounding leaves goes to those that come first
        for shares, of in ((healthy, 0), (degraded, 1)):
            more, left = _distribute([one[of] for one in available], left, total)
            shares[:] = map(operator.add, shares, more)
    return Loads(tuple(healthy), tuple(degraded), (False,) * len(levels))


def _distribute(available: Sequence[int], load: int, total: int) -> tuple[list[int], int]:
    """As much of `load` as possible to those that come first, and what is left of it."""
    shares = []
    for one in available:
        share = min(load, one * 100 // total)
        shares.append(share)
        load -= share
    return shares, load


def in_panic(level: Level, threshold: int) -> bool:
    """Whether too few of its hosts are well: less than `threshold` percent."""
    count = level.hosts - level.excluded
    percent = 100 * (level.healthy + level.degraded) / count if count else 0.0
    return percent < threshold


def _by_hosts(levels: Sequence[Level]) -> tuple[int, ...]:
    """Total panic: load goes by the number of hosts, however they are."""
    total = sum(level.hosts for level in levels)
    if not total:
        return (100, *(0,) * (len(levels) - 1))
    shares = [100 * level.hosts // total for level in levels]
    shares[next(index for index, level in enumerate(levels) if level.hosts)] += 100 - sum(shares)
    return tuple(shares)
