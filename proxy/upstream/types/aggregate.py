"""`envoy.clusters.aggregate`: the priorities of several clusters, one cluster after the other.

Which priority a request goes to is drawn here; the cluster that it belongs to finds the host, in its own way, and
serves the request with its pools and limits. Responses and timeouts count here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from proxy.config.cluster import OVERPROVISIONING, ClusterEndpoints, Host
from proxy.http.stream_info import StreamInfo
from proxy.stats import Stats
from proxy.upstream import failures, priority_load
from proxy.upstream.cluster import Cluster
from proxy.upstream.cluster_balancer import HostsOf
from proxy.upstream.load_balancer_context import ANYBODY, LoadBalancerContext
from proxy.upstream.pool import Pool
from proxy.upstream.previous_priorities import PreviousPriorities
from proxy.upstream.priority_load import Level
from proxy.upstream.tables import Tables
from proxy.upstream.tcp import TcpConnection
from proxy.upstream.types.provided import NOWHERE, Choice, Provided


class Member(NamedTuple):
    """One priority of all: `level` of `cluster`."""

    cluster: Cluster
    level: int
    hosts: Level


class Linearized(Provided):
    """As `ClusterBalancer`, for the hosts of all `members`. It is settled anew when one of them has other hosts, or its
    hosts do otherwise.
    """

    def __init__(
        self, members: Callable[[], list[Cluster]], panic_threshold: int, seed: int, charge_none: Callable[[], None]
    ) -> None:
        super().__init__(charge_none)
        self._members = members
        self._panic_threshold = panic_threshold
        self._random = Random(seed)
        self._seen: list[object] = []
        self._levels: list[Member] = []
        self._loads = priority_load.loads(())

    def draw(self) -> tuple[Cluster, tuple[int, bool]] | None:
        """The cluster for a request, and its level there; None if nobody has a host."""
        self._follow()
        if not self._levels:
            return None
        priority, degraded = self._loads.choose(self._random.getrandbits(64))
        found = self._levels[priority]
        return found.cluster, (found.level, degraded)

    def _follow(self) -> None:
        members = self._members()
        seen: list[object] = [each for cluster in members for each in (cluster, cluster.balancer.hosts)]
        if len(seen) == len(self._seen) and all(map(operator.is_, seen, self._seen)):
            return
        self._seen = seen
        self._levels = [
            Member(cluster, number, level)
            for cluster in members
            for number, level in enumerate(cluster.balancer.hosts.levels)
            if level.hosts
        ]
        # Each priority could have a factor of its own; the first one speaks for all.
        factor = next((member.balancer.hosts.overprovisioning_factor for member in members), OVERPROVISIONING)
        self._loads = priority_load.loads(
            [each.hosts for each in self._levels],
            overprovisioning_factor=factor,
            panic_threshold=self._panic_threshold,
        )

    def choose(self, context: LoadBalancerContext) -> Choice:
        """Hosts are the members' to choose."""
        return NOWHERE


class AggregateCluster(Cluster):
    """Of `config.members`, as they are at the moment."""

    picks_by_request = True
    balancer: Linearized

    def _new_balancer(self, stats: Stats, tables: Tables, seed: int, hosts_of: HostsOf) -> Linearized:
        return Linearized(self._members, self.config.lb.panic_threshold, seed, self.stats.cx_none_healthy.inc)

    def _members(self) -> list[Cluster]:
        found = (self.cluster_of(name) for name in self.config.members)
        return [cluster for cluster in found if cluster is not None]

    def pick(self, context: LoadBalancerContext = ANYBODY) -> Pool | None:
        """As `Cluster.pick`, of the member that is drawn."""
        drawn = self.balancer.draw()
        return None if drawn is None else drawn[0].pick(context._replace(level=drawn[1]))

    def pick_another(
        self,
        rejects: Callable[[Host], bool],
        attempts: int,
        context: LoadBalancerContext = ANYBODY,
        priorities: PreviousPriorities | None = None,
    ) -> Pool | None:
        """As `Cluster.pick_another`; each attempt draws anew, whatever has been tried."""
        for _ in range(attempts):
            pool = self.pick(context)
            if pool is None or not rejects(pool.host):
                return pool
        return self.pick(context)

    async def open_connection(self, info: StreamInfo, context: LoadBalancerContext = ANYBODY) -> TcpConnection:
        """As `Cluster.open_connection`, to a host of the member that is drawn, within the limits of that one."""
        drawn = self.balancer.draw()
        if drawn is None:
            self.stats.cx_none_healthy.inc()
            raise failures.no_healthy_upstream()
        return await drawn[0].open_connection(info, context._replace(level=drawn[1]))

    def update_endpoints(self, endpoints: ClusterEndpoints | None) -> None:
        """There are none of its own."""
        self.endpoints = endpoints
