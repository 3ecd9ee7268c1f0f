"""The balancers of one cluster in one worker: of all its hosts, and of each of its subsets."""

from __future__ import annotations

import functools
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
from proxy.upstream.subsets import Subsets
from proxy.upstream.tables import HostColumn, Table


class Picks(Protocol):
    """`Balancer`, as far as clusters know it."""

    def pick(self, number: int | None = None, attempt: int = 0) -> Host | None: ...


class PicksHosts(Protocol):
    """What a cluster finds hosts with: `ClusterBalancer`, or that of a type of its own (`types/`)."""

    def choose(self, context: LoadBalancerContext) -> Picks: ...
    def update(self, hosts: HostSet) -> None: ...
    def charge_none_healthy(self, labels: Labels) -> None: ...
    def begin(self) -> None: ...
    def end(self) -> None: ...


class ClusterBalancer:
    """`seed` differs from worker to worker; `table` is that of hosts."""

    __slots__ = ("_all", "_stats", "_subsets")

    def __init__(
        self, config: ClusterConfig, stats: Stats, cluster_stats: ClusterStats, table: Table, *, seed: int
    ) -> None:
        self._stats = cluster_stats
        surroundings = Surroundings(config.lb, seed, Random(seed), functools.partial(_active_requests, table))
        make = functools.partial(Balancer, surroundings, cluster_stats.lb_healthy_panic.inc)
        self._all = make()
        self._subsets: Subsets | None = None
        if config.subsets is not None:
            self._subsets = Subsets(config.subsets, make, stats, cluster_stats, config.stat_name)

    def choose(self, context: LoadBalancerContext) -> Balancer:
        """The balancer of the hosts that a request is for."""
        return self._all if self._subsets is None else self._subsets.choose(context.labels)

    def update(self, hosts: HostSet) -> None:
        """Balance over `hosts` from now on."""
        self._all.update(hosts)
        if self._subsets is not None:
            self._subsets.update(hosts)

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
