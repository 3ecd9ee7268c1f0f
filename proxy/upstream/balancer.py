"""Which host: first the priority, then healthy ones or others, then the locality, and then the cluster's policy.

All is settled when hosts change. A cluster of one priority whose hosts are well costs a pick of its policy and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from proxy import registry
from proxy.config.cluster import Host
from proxy.upstream import localities, priority_load
from proxy.upstream.bounded_load import BoundedLoad
from proxy.upstream.host_set import Hosts, HostSet, Priority
from proxy.upstream.lb import POLICIES, HashingLoadBalancer, LoadBalancer, Surroundings
from proxy.upstream.localities import WeightedLocalities, effective_weight
from proxy.upstream.priority_load import Level
from proxy.upstream.slow_start import SlowStart
from proxy.upstream.zones import Places, ZoneAwareHosts, Zones


class Source(Protocol):
    """Hosts that go together, and the way to one of them."""

    def pick(self) -> Host | None: ...


class Balancer:
    """One worker's, of one cluster or one subset of its hosts. `panicked` is called at each pick among all hosts,
    however they are. `zones` is for a cluster that is aware of them.
    """

    def __init__(self, surroundings: Surroundings, panicked: Callable[[], None], zones: Zones | None = None) -> None:
        self._config = surroundings.config
        self._slow_start: SlowStart | None = None
        if self._config.slow_start is not None:
            self._slow_start = SlowStart(self._config.slow_start, surroundings.now)
            surroundings = surroundings._replace(slow_start=self._slow_start)
        self._surroundings = surroundings
        self._zones = zones
        self._by_place: Places | None = None
        self._panicked = panicked
        self._policy: Any = registry.load(POLICIES, self._config.policy)
        self.hashes = self._config.hashes
        self._kept: dict[object, Any] = {}
        self.hosts = HostSet()
        self._levels: Sequence[Level] = ()
        self._loads = priority_load.loads(())
        self._sources: dict[tuple[int, bool], Any] = {}
        self._only: Source | None = None

    def update(self, hosts: HostSet) -> None:
        """Balance over `hosts` from now on."""
        config = self._config
        self.hosts = hosts
        self._levels = hosts.levels
        self._loads = priority_load.loads(
            hosts.levels,
            overprovisioning_factor=hosts.overprovisioning_factor,
            panic_threshold=config.panic_threshold,
        )
        if self._slow_start is not None:
            self._slow_start.update(host for one in hosts.priorities for host in one.healthy)
        if self._zones is not None:
            self._by_place = self._zones.places(hosts)
        before, self._kept = self._kept, {}
        self._sources = {}
        for index, priority in enumerate(hosts.priorities):
            if priority.hosts and (self._loads.healthy[index] or self._loads.degraded[index]):
                self._sources |= self._of_priority(index, priority, hosts.overprovisioning_factor, before)
        self._only = None
        if self._loads.healthy[0] == 100 and not self._loads.panic[0] and not self.hashes:
            self._only = self._sources.get((0, False))

    @property
    def in_panic(self) -> bool:
        """Whether a request that gets no host has met panic."""
        return all(self._loads.panic) or (self._config.fail_on_panic and any(self._loads.panic))

    @property
    def serves(self) -> bool:
        """Whether there is a host for requests."""
        return any(
            level.healthy + level.degraded > 0 or (panic and level.hosts > 0 and not self._config.fail_on_panic)
            for level, panic in zip(self._levels, self._loads.panic, strict=False)  # without hosts there are no levels
        )

    def pick(
        self, number: int | None = None, attempt: int = 0, *, level: tuple[int, bool] | None = None
    ) -> Host | None:
        """The next host; None if there is none. `number` (64 bits) stands for the request where the policy hashes, any
        one if it is None; `attempt` counts the hosts that were found and not wanted; `level`: priority and whether
        degraded hosts are meant, where that was drawn already.
        """
        if self._only is not None and level is None:
            return self._only.pick()
        if number is None or not self.hashes:
            number = self._surroundings.random.getrandbits(64)
        priority, degraded = level or self._loads.choose(number)
        source = self._sources.get((priority, degraded))
        if source is None:
            source = self._late_source(priority, degraded) if level is not None else None
        if source is None:
            return None
        if self._loads.panic[priority]:
            if self._config.fail_on_panic:
                return None
            self._panicked()
        found: Host | None = source.find(number, attempt) if self.hashes else source.pick()
        return found

    def _late_source(self, index: int, degraded: bool) -> Any:
        """That of a priority which gets none of the load but what was drawn elsewhere (`previous_priorities.py`)."""
        priority = self.hosts.priorities[index]
        if self._loads.panic[index]:
            source: Any = self._plain((index, "all"), priority.hosts, self._kept)
        else:
            source = self._source(index, priority, degraded, self.hosts.overprovisioning_factor, self._kept)
        self._sources[index, degraded] = source
        return source

    def _of_priority(
        self, index: int, priority: Priority, factor: int, before: dict[object, Any]
    ) -> dict[tuple[int, bool], Any]:
        """The sources of a priority that gets some of the load: its healthy hosts, its degraded ones."""
        if self.hashes:
            table = self._table(index, priority, self._loads.panic[index], before)
            return {(index, False): table, (index, True): table}
        if self._loads.panic[index]:
            return {(index, False): self._plain((index, "all"), priority.hosts, before)}
        return {
            (index, degraded): self._source(index, priority, degraded, factor, before)
            for degraded, loads in ((False, self._loads.healthy), (True, self._loads.degraded))
            if loads[index]
        }

    def _source(self, index: int, priority: Priority, degraded: bool, factor: int, before: dict[object, Any]) -> Source:
        """The healthy hosts of a priority, or its degraded ones."""
        eligible = priority.degraded if degraded else priority.healthy
        if self._by_place is not None and index == 0:
            return self._by_zone(self._by_place, priority, degraded, before)
        if not self._config.locality_weighted or not any(one.weight for one in priority.localities):
            return self._plain((index, degraded), eligible, before)
        weighted = []
        for place, locality in enumerate(priority.localities):
            members = locality.degraded if degraded else locality.healthy
            weight = effective_weight(
                locality.weight, len(members), len(locality.hosts) - len(locality.excluded), factor
            )
            weighted.append((weight, self._plain((index, degraded, place), members, before)))
        return WeightedLocalities(weighted, self._surroundings.random)

    def _by_zone(self, places: Places, priority: Priority, degraded: bool, before: dict[object, Any]) -> Source:
        everybody = self._plain((0, degraded), priority.degraded if degraded else priority.healthy, before)
        balancers = [
            self._plain((0, degraded, one.place), one.degraded if degraded else one.healthy, before)
            for one in places.localities
        ]
        return ZoneAwareHosts(places, everybody, balancers, self._surroundings)

    def _plain(self, key: object, hosts: Hosts, before: dict[object, Any]) -> LoadBalancer:
        """The policy over `hosts`: the one that these had before goes on where it was."""
        balancer: LoadBalancer = before.get(key) or self._policy(self._surroundings)
        balancer.update(hosts)
        self._kept[key] = balancer
        return balancer

    def _table(self, index: int, priority: Priority, panic: bool, before: dict[object, Any]) -> HashingLoadBalancer:
        """The table of a priority's healthy hosts, or of all in panic. It is built anew only if they have changed."""
        shares = localities.shares_of(priority, panic=panic, weighted=self._config.locality_weighted)
        known = before.get(index)
        if known is None or known[0] != shares:
            table: HashingLoadBalancer = self._policy(self._surroundings)
            if self._config.hashing.balance_factor:
                table = BoundedLoad(self._surroundings, table)
            table.update(shares)
            known = shares, table
        self._kept[index] = known
        found: HashingLoadBalancer = known[1]
        return found
