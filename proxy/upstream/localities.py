"""Localities by weight (`common_lb_config.locality_weighted_lb_config`): first the locality, then a host in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from proxy.config.cluster import Host
from proxy.upstream.edf import Edf
from proxy.upstream.host_set import Hosts, Locality, Priority
from proxy.upstream.lb import LoadBalancer


def effective_weight(weight: int, eligible: int, hosts: int, overprovisioning_factor: int) -> float:
    """A locality's weight, less if too few of its `hosts` are `eligible` (`HostSetImpl::effectiveLocalityWeight`)."""
    if not hosts:
        return 0.0
    return weight * min(1.0, overprovisioning_factor / 100 * eligible / hosts)


class WeightedLocalities:
    """`balancers` are of one locality each; those of weight 0 get nothing."""

    __slots__ = ("_rotation",)

    def __init__(self, balancers: Sequence[tuple[float, LoadBalancer]], random: Random) -> None:
        self._rotation = Edf((random.random() / weight, (weight, one)) for weight, one in balancers if weight)

    def pick(self) -> Host | None:
        """A host of the locality whose turn it is."""
        return self._rotation.turn(_first)[1].pick() if self._rotation else None


def _first(pair: tuple[float, LoadBalancer]) -> float:
    return pair[0]


def shares(hosts: Hosts, localities: Sequence[tuple[Locality, Hosts]], *, weighted: bool) -> list[tuple[Host, float]]:
    """The share of all requests of each host: by its weight, or by those of its locality and its own. `localities` come
    with those hosts of theirs that count.
    """
    total = sum(locality.weight for locality, _ in localities)
    if not weighted or not any(locality.weight for locality, _ in localities):
        return list(_normalized(hosts, 1.0))
    return [
        share
        for locality, members in localities
        if locality.weight
        for share in _normalized(members, locality.weight / total)
    ]


def shares_of(priority: Priority, *, panic: bool, weighted: bool) -> list[tuple[Host, float]]:
    """The same of a priority: of its healthy hosts, or of all in panic."""
    groups: list[tuple[Locality, Hosts]] = [(one, one.hosts if panic else one.healthy) for one in priority.localities]
    return shares(priority.hosts if panic else priority.healthy, groups, weighted=weighted)


def _normalized(hosts: Hosts, share: float) -> Iterator[tuple[Host, float]]:
    total = sum(host.weight for host in hosts)
    return ((host, host.weight * share / total) for host in hosts)
