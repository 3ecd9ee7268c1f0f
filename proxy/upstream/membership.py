"""`membership_*` and `max_host_weight`: the controller alone writes them, since the gauges of workers are summed up."""

from __future__ import annotations

from proxy.config.cluster import Cluster, Endpoints
from proxy.stats import Stats
from proxy.upstream.host_set import HostSet


class Membership:
    """How many hosts each cluster has. Without health checks every host is healthy, so no cluster is ever in panic."""

    def __init__(self, clusters: tuple[Cluster, ...], stats: Stats) -> None:
        self._clusters = [_ClusterMembership(cluster, stats) for cluster in clusters]

    def update(self, endpoints: Endpoints) -> None:
        """Publish `endpoints`. `membership_change` grows where hosts came or went."""
        for cluster in self._clusters:
            cluster.update(HostSet(endpoints.clusters.get(cluster.name)))


class _ClusterMembership:
    def __init__(self, cluster: Cluster, stats: Stats) -> None:
        prefix = f"cluster.{cluster.stat_name}."
        self.name = cluster.name
        self._dynamic = cluster.type != "STATIC"
        self._total = stats.gauge(f"{prefix}membership_total")
        self._healthy = stats.gauge(f"{prefix}membership_healthy")
        self._change = stats.counter(f"{prefix}membership_change")
        self._max_weight = stats.gauge(f"{prefix}max_host_weight")
        stats.counter(f"{prefix}lb_healthy_panic")
        self._known: frozenset[object] = frozenset()

    def update(self, hosts: HostSet) -> None:
        known = frozenset((host.address, host.hostname) for host in hosts.hosts)
        if known != self._known:
            self._change.inc()
            self._known = known
        self._total.set(len(hosts.hosts))
        self._healthy.set(len(hosts.hosts))
        if self._dynamic:  # Envoy leaves it at 0 for STATIC clusters
            self._max_weight.set(max((host.weight for host in hosts.hosts), default=0))
