"""The subsets of one cluster, with what they count: `cluster.<name>.lb_subsets_*`."""

from __future__ import annotations

from collections.abc import Callable

from proxy.config.lb_subsets import Labels, LbSubsets
from proxy.stats import Stats
from proxy.upstream.balancer import Balancer
from proxy.upstream.host_set import HostSet
from proxy.upstream.stats import ClusterStats
from proxy.upstream.subset_balancer import Picks, SubsetBalancer, Way


class Subsets:
    """Between `begin` and `end` its subsets count as those that there are: a cluster that is only prepared has none."""

    def __init__(
        self,
        config: LbSubsets,
        make: Callable[[], Balancer],
        stats: Stats,
        cluster: ClusterStats,
        stat_name: str,
    ) -> None:
        self._balancer = SubsetBalancer(config, make)
        self._healthy_panic = cluster.lb_healthy_panic
        prefix = f"cluster.{stat_name}.lb_subsets_"
        self._active = stats.gauge(f"{prefix}active")
        self._created = stats.counter(f"{prefix}created")
        self._removed = stats.counter(f"{prefix}removed")
        self._selected = stats.counter(f"{prefix}selected")
        self._fallback = stats.counter(f"{prefix}fallback")
        self._panic = stats.counter(f"{prefix}fallback_panic")
        self._duplicates = stats.gauge(f"{prefix}single_host_per_subset_duplicate")
        self._counts = False

    def choose(self, labels: Labels) -> Picks:
        """The balancer for a request for hosts of `labels`, counted; it has no host if there is none for it."""
        found = self._balancer.find(labels)
        if found.way is Way.SUBSET:
            self._selected.inc()
        elif found.way is Way.FALLBACK:
            self._fallback.inc()
        elif found.way is Way.PANIC:
            self._panic.inc()
            self._healthy_panic.inc(found.in_vain)
        return found.balancer

    def in_vain(self, labels: Labels) -> int:
        """How many balancers without a host are asked for `labels`."""
        return self._balancer.find(labels).in_vain

    def update(self, hosts: HostSet, *, anew: bool = False) -> None:
        """Balance over `hosts` from now on; `anew`: subsets whose hosts stay the same, too."""
        before, left_out = self._balancer.labels, self._balancer.duplicates
        self._balancer.update(hosts, anew=anew)
        if self._counts:
            now = self._balancer.labels
            self._count(len(now - before), len(before - now))
            self._duplicates.add(self._balancer.duplicates - left_out)

    def begin(self) -> None:
        """The cluster is in use."""
        if not self._counts:
            self._counts = True
            self._count(len(self._balancer.labels), 0)
            self._duplicates.add(self._balancer.duplicates)

    def end(self) -> None:
        """Another cluster has its name, or none."""
        if self._counts:
            self._counts = False
            self._count(0, len(self._balancer.labels))
            self._duplicates.add(-self._balancer.duplicates)

    def _count(self, created: int, removed: int) -> None:
        self._created.inc(created)
        self._removed.inc(removed)
        self._active.add(created - removed)
