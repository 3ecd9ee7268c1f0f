"""Zone-aware routing: requests stay in the zone of the proxy as far as its hosts can take them. Pure.

How much they can take follows from where proxies like this one are, of which each gets a like part of the requests, and
where hosts are: Envoy's `ZoneAwareLoadBalancerBase`. Shares are in hundredths of a percent, whole numbers.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from proxy.stats import Counter, Stats
from proxy.upstream.host_set import NOWHERE, Locality, Place, Priority

_WHOLE = 10_000


class ZoneStats:
    """`cluster.<name>.lb_*`."""

    def __init__(self, stats: Stats, stat_name: str) -> None:
        def counter(name: str) -> Counter:
            return stats.counter(f"cluster.{stat_name}.lb_{name}")

        self.recalculated = counter("recalculate_zone_structures")
        self.local_cluster_not_ok = counter("local_cluster_not_ok")
        self.cluster_too_small = counter("zone_cluster_too_small")
        self.all_directly = counter("zone_routing_all_directly")
        self.sampled = counter("zone_routing_sampled")
        self.cross_zone = counter("zone_routing_cross_zone")
        self.no_capacity_left = counter("zone_no_capacity_left")


def by_place(priority: Priority, here: Place) -> tuple[Locality, ...]:
    """Its hosts by where they are: those `here` first if there are any, then others by the names of their places."""
    groups: dict[Place, Locality] = {}
    for one in priority.localities:
        if one.hosts:
            known = groups.get(one.place)
            groups[one.place] = one if known is None else known.with_hosts_of(one)
    return tuple(groups[place] for place in sorted(groups, key=lambda place: (place != here, place)))


class Routing(NamedTuple):
    """How requests are spread over places. `stay` of 10,000 go to the first one; the others by `capacities`, each the
    sum of what it and those before it can take besides. `all_stay`: all of them go to the first one.
    """

    all_stay: bool = False
    stay: int = 0
    capacities: tuple[int, ...] = ()

    def choose(self, random: Random, stats: ZoneStats) -> int:
        """The place for one request."""
        if self.all_stay:
            stats.all_directly.inc()
            return 0
        if random.randrange(_WHOLE) < self.stay:
            stats.sampled.inc()
            return 0
        stats.cross_zone.inc()
        total = self.capacities[-1]
        if not total:  # what rounding may lead to
            stats.no_capacity_left.inc()
            return random.randrange(len(self.capacities))
        return bisect_right(self.capacities, random.randrange(total))


def routing(
    upstream: Sequence[Locality], proxies: Sequence[Locality], here: Place, min_hosts: int, stats: ZoneStats
) -> Routing | None:
    """How to spread requests over the places of `upstream` (`by_place`), if proxies like this one are in those of
    `proxies`; None if places are not to be looked at.
    """
    if len(upstream) < 2 or len(proxies) < 2:
        return None
    if here == NOWHERE or proxies[0].place != here:
        stats.local_cluster_not_ok.inc()
        return None
    if sum(len(one.healthy) for one in upstream) < min_hosts:
        stats.cluster_too_small.inc()
        return None
    where = _parts(proxies)
    theirs = _parts(upstream)
    shares = [(where.get(one.place, 0) if one.healthy else 0, theirs[one.place]) for one in upstream]
    served_here = upstream[0].place == here
    if served_here and 0 < shares[0][1] >= shares[0][0]:
        return Routing(all_stay=True)
    stay = shares[0][1] * _WHOLE // shares[0][0] if served_here and shares[0][0] else 0
    spare = [max(0, theirs - ours) for ours, theirs in shares]
    if served_here:
        spare[0] = 0
    return Routing(stay=stay, capacities=tuple(itertools.accumulate(spare)))


def _parts(localities: Sequence[Locality]) -> Mapping[Place, int]:
    """Which part of all healthy hosts is where."""
    total = sum(len(one.healthy) for one in localities)
    return {one.place: _WHOLE * len(one.healthy) // total if total else 0 for one in localities}
