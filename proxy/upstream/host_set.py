"""The hosts of one cluster at one moment: by priority, by how they are, by locality.

Immutable: a change of endpoints, or of a host's health, is a new `HostSet`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Self

from proxy.config.cluster import OVERPROVISIONING, ClusterEndpoints, Host
from proxy.upstream.priority_load import Level

Hosts = tuple[Host, ...]

Place = tuple[str, str, str]
"""Region, zone and sub-zone."""

Weigh = Callable[[int, int, int], int]
"""The weight of a locality, how many hosts of it are left, of how many → its weight then."""

NOWHERE: Final[Place] = ("", "", "")


class Health(enum.IntEnum):
    """What a host is good for (Envoy's coarse health). `DEGRADED` ones are asked when there are too few healthy ones;
    `EXCLUDED` ones are asked only in panic, and count in no ratio.
    """

    UNHEALTHY = 0
    DEGRADED = 1
    HEALTHY = 2
    EXCLUDED = 3


_TOLD = {"HEALTHY": Health.HEALTHY, "DEGRADED": Health.DEGRADED, "DRAINING": Health.EXCLUDED}


def told_health(host: Host) -> Health:
    """What the host's endpoint says of itself (`LbEndpoint.health_status`)."""
    return _TOLD.get(host.health_status, Health.UNHEALTHY)


class Locality(NamedTuple):
    """Hosts of one locality in one priority. `weight` is its own, 0 for none."""

    weight: int
    hosts: Hosts
    healthy: Hosts
    degraded: Hosts
    excluded: Hosts
    place: Place = NOWHERE

    @classmethod
    def sorted(cls, weight: int, hosts: Hosts, health: Callable[[Host], Health], place: Place = NOWHERE) -> Self:
        """With the hosts in their places."""
        groups: dict[Health, list[Host]] = {one: [] for one in Health}
        for host in hosts:
            groups[health(host)].append(host)
        healthy, degraded, excluded = (tuple(groups[one]) for one in (Health.HEALTHY, Health.DEGRADED, Health.EXCLUDED))
        return cls(weight, hosts, healthy, degraded, excluded, place)

    def only(self, member: Callable[[Host], bool], weigh: Weigh) -> Self:
        """Without those who are no members."""
        hosts, healthy, degraded, excluded = (
            tuple(filter(member, hosts)) for hosts in (self.hosts, self.healthy, self.degraded, self.excluded)
        )
        weight = weigh(self.weight, len(hosts), len(self.hosts))
        return type(self)(weight, hosts, healthy, degraded, excluded, self.place)

    def with_hosts_of(self, other: Self) -> Self:
        """Both together, by the weight and the place of this one."""
        return self._replace(
            hosts=self.hosts + other.hosts,
            healthy=self.healthy + other.healthy,
            degraded=self.degraded + other.degraded,
            excluded=self.excluded + other.excluded,
        )


class Priority:
    """The hosts of one priority, localities in their listed order."""

    __slots__ = ("degraded", "excluded", "healthy", "hosts", "localities")

    def __init__(self, localities: Iterable[Locality]) -> None:
        self.localities = tuple(localities)
        self.hosts: Hosts = tuple(host for one in self.localities for host in one.hosts)
        self.healthy: Hosts = tuple(host for one in self.localities for host in one.healthy)
        self.degraded: Hosts = tuple(host for one in self.localities for host in one.degraded)
        self.excluded: Hosts = tuple(host for one in self.localities for host in one.excluded)

    def level(self, *, weighted: bool) -> Level:
        """What its share of the load is computed from; `weighted`: by weights of hosts, not by their number."""
        groups = (self.hosts, self.healthy, self.degraded, self.excluded)
        total, healthy, degraded, excluded = (
            sum(host.weight for host in hosts) if weighted else len(hosts) for hosts in groups
        )
        hosts, *others = (len(group) for group in groups)
        return Level(hosts, others[0], others[1], others[2], healthy, degraded, total - excluded)


class HostSet:
    """Hosts by priority, lowest number first. `overprovisioning_factor` is in percent."""

    __slots__ = ("_by_address", "_weighted", "hosts", "levels", "overprovisioning_factor", "priorities")

    def __init__(
        self,
        priorities: Iterable[Priority] = (),
        overprovisioning_factor: int = OVERPROVISIONING,
        *,
        weighted: bool = False,
    ) -> None:
        self.priorities = tuple(priorities)
        self.overprovisioning_factor = overprovisioning_factor
        self._weighted = weighted
        self.levels = tuple(one.level(weighted=weighted) for one in self.priorities)
        self.hosts: frozenset[Host] = frozenset(host for one in self.priorities for host in one.hosts)
        self._by_address: dict[str, Host] | None = None

    @property
    def by_address(self) -> Mapping[str, Host]:
        """By what Envoy calls it: `127.0.0.1:80`. Of several the last one, made when somebody asks."""
        if self._by_address is None:
            self._by_address = {str(host.address): host for one in self.priorities for host in one.hosts}
        return self._by_address

    def __eq__(self, other: object) -> bool:
        """Whether there are the same hosts in the same places, and they do as well."""
        if not isinstance(other, HostSet):
            return NotImplemented
        ours, theirs = ([one.localities for one in hosts.priorities] for hosts in (self, other))
        return ours == theirs and self.overprovisioning_factor == other.overprovisioning_factor

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(cls, endpoints: ClusterEndpoints | None, health: Callable[[Host], Health] = told_health) -> Self:
        """The hosts of `endpoints`, each as well as `health` says."""
        if endpoints is None:
            return cls()
        grouped: dict[int, list[Locality]] = {}
        for one in endpoints.localities:
            place = one.region, one.zone, one.sub_zone
            grouped.setdefault(one.priority, []).append(Locality.sorted(one.weight, one.hosts, health, place))
        priorities = (Priority(grouped[number]) for number in sorted(grouped))
        return cls(priorities, endpoints.overprovisioning_factor, weighted=endpoints.weighted_priority_health)

    def only(self, member: Callable[[Host], bool], weigh: Weigh) -> Self:
        """Without those who are no members."""
        kept = (Priority(locality.only(member, weigh) for locality in one.localities) for one in self.priorities)
        return type(self)(kept, self.overprovisioning_factor, weighted=self._weighted)
