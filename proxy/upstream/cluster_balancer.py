"""The balancers of one cluster in one worker: of all its hosts, and of each of its subsets."""

from __future__ import annotations

import functools
from collections.abc import Callable
from random import Random
from typing import Protocol

from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.cluster import Host
from proxy.config.lb_subsets import Labels
from proxy.stats import Stats
from proxy.upstream.balancer import Balancer
from proxy.upstream.host_set import HostSet
from proxy.upstream.lb import Surroundings
from proxy.upstream.load_balancer_context import LoadBalancerContext
from proxy.upstream.stats import ClusterStats
from proxy.upstream.subset_balancer import Picks
from proxy.upstream.subsets import Subsets
from proxy.upstream.tables import HostColumn, Table
from proxy.upstream.zone_routing import ZoneStats
from proxy.upstream.zones import Zones

HostsOf = Callable[[str], HostSet | None]
"""The hosts of the cluster that is called so; None if none is."""


def nobody(name: str) -> HostSet | None:
    """`HostsOf` where there are no other clusters."""
    return None


class PicksHosts(Protocol):
    """What a cluster finds hosts with: `ClusterBalancer`, or that of a type of its own (`types/`)."""

    @property
    def hosts(self) -> HostSet: ...
    def choose(self, context: LoadBalancerContext) -> Picks: ...
    def update(self, hosts: HostSet) -> None: ...
    def follow_proxies(self) -> None: ...
    def charge_none_healthy(self, labels: Labels) -> None: ...
    def begin(self) -> None: ...
    def end(self) -> None: ...


class AtLevel:
    """A balancer for a request whose priority was drawn elsewhere (`types/aggregate.py`)."""

    def __init__(self, balancer: Balancer, level: tuple[int, bool]) -> None:
        self._balancer = balancer
        self._level = level
        self.in_panic = balancer.in_panic
        self.serves = balancer.serves
        self.update = balancer.update

    def pick(self, number: int | None = None, attempt: int = 0) -> Host | None:
        """As `Balancer.pick`."""
        return self._balancer.pick(number, attempt, level=self._level)


class ClusterBalancer:
    """`seed` differs from worker to worker; `table` is that of hosts, `hosts_of` knows those of other clusters,
    `active` how many requests this one has.
    """

    __slots__ = ("_all", "_proxies", "_stats", "_subsets", "_zones", "hosts")

    def __init__(
        self,
        config: ClusterConfig,
        stats: Stats,
        cluster_stats: ClusterStats,
        table: Table,
        *,
        seed: int,
        hosts_of: HostsOf,
        active: Callable[[], int],
    ) -> None:
        self._stats = cluster_stats
        self.hosts = HostSet()
        self._zones: Zones | None = None
        self._proxies: HostSet | None = None
        if config.lb.zone_aware is not None:
            self._zones = Zones(config.lb, hosts_of, ZoneStats(stats, config.stat_name))
        surroundings = Surroundings(
            config.lb,
            seed,
            Random(seed),
            functools.partial(_active_requests, table),
            active_in_cluster=active,
        )
        make = functools.partial(Balancer, surroundings, cluster_stats.lb_healthy_panic.inc, self._zones)
        self._all = make()
        self._subsets: Subsets | None = None
        if config.subsets is not None:
            self._subsets = Subsets(config.subsets, make, stats, cluster_stats, config.stat_name)

    def choose(self, context: LoadBalancerContext) -> Picks:
        """The balancer of the hosts that a request is for."""
        found = self._all if self._subsets is None else self._subsets.choose(context.labels)
        return found if context.level is None or not isinstance(found, Balancer) else AtLevel(found, context.level)

    def update(self, hosts: HostSet) -> None:
        """Balance over `hosts` from now on."""
        self.hosts = hosts
        before, self._proxies = self._proxies, self._zones.proxies() if self._zones is not None else None
        self._all.update(hosts)
        if self._subsets is not None:
            self._subsets.update(hosts, anew=self._proxies is not before)

    def follow_proxies(self) -> None:
        """Balance by where proxies like this one are now, if that is another place than before."""
        if self._zones is not None and self._zones.proxies() is not self._proxies:
            self.update(self.hosts)

    def charge_none_healthy(self, labels: Labels) -> None:
        """A request for hosts of `labels` got none."""
        in_vain = int(self._all.in_panic) if self._subsets is None else self._subsets.in_vain(labels)
        self._stats.lb_healthy_panic.inc(in_vain)
        self._stats.cx_none_healthy.inc()

    def begin(self) -> None:
        """The cluster is in use: its subsets count from now on."""
        if self._subsets is not None:
            self._subsets.begin()

    def end(self) -> None:
        """Another cluster has its name, or none."""
        if self._subsets is not None:
            self._subsets.end()


def _active_requests(hosts: Table, host: Host) -> int:
    """Over all workers."""
    return hosts.total(host.slot, HostColumn.RQ_ACTIVE)
