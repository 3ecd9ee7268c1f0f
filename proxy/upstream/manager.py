"""Every cluster of one worker, by name, over all the configurations that it has had."""

from __future__ import annotations

import itertools
import random
import weakref
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping

import trio

from proxy import registry
from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.cluster import ClusterEndpoints, Endpoints
from proxy.config.endpoints_delta import EndpointsDelta, newer
from proxy.config.secrets import cluster_in_place
from proxy.stats import Stats
from proxy.upstream.background import Background
from proxy.upstream.cluster import Cluster
from proxy.upstream.health.service import NO_TOOLS, HealthChecks, Tools
from proxy.upstream.host_set import HostSet
from proxy.upstream.owners import Alone, Owners
from proxy.upstream.tables import Tables
from proxy.upstream.types import TYPES

REAP_INTERVAL = 1.0  # seconds: how late an idle connection may be closed
STATUS_INTERVAL = 0.05  # seconds: how late a worker hears what another one has found out about a host


class ClusterView:
    """The clusters as one listener's filters see them: always the newest, until the listener is retired, which goes on
    with those that it knew.
    """

    __slots__ = ("now",)

    def __init__(self, clusters: Mapping[str, Cluster]) -> None:
        self.now = clusters

    def get(self, name: str) -> Cluster | None:
        """The cluster called `name`, or None."""
        return self.now.get(name)


class ClusterManager:
    """`prepare` and `commit` lead from one configuration to the next; endpoints are replaced at any time.

    A cluster whose configuration is the same is the same object: it keeps pools and claims. One that is replaced or
    removed finishes what it has; `draining` says so for as long as anybody could still use it. `numbers` are for
    upstream connections. `owners` says what this worker looks after for all, `tools` are for who finds out how hosts
    are.
    """

    def __init__(
        self,
        stats: Stats,
        tables: Tables,
        numbers: Iterator[int] | None = None,
        owners: Owners | None = None,
        tools: Tools = NO_TOOLS,
    ) -> None:
        self.now: Mapping[str, Cluster] = {}
        self._numbers = numbers or itertools.count(1)
        self._stats = stats
        self._tables = tables
        self.owners = owners or Alone()
        self._background = Background()
        self._open_log = tools.open_log
        self.health_checks = HealthChecks(stats, tables.hosts, self.owners, self._background, tools)
        self._watched: list[Cluster] = []
        self._zoned: list[Cluster] = []
        self._retired: weakref.WeakSet[Cluster] = weakref.WeakSet()

    def get(self, name: str) -> Cluster | None:
        """The cluster called `name`, or None."""
        return self.now.get(name)

    def prepare(
        self, configs: Iterable[ClusterConfig], endpoints: Endpoints, renewals: list[Callable[[], None]]
    ) -> Generator[None, None, Mapping[str, Cluster]]:
        """Returns the clusters of the next configuration, those included that stay, and changes nothing: what changes
        in those is put into effect by `renewals`, to which it is added. Each step makes one cluster: there may be
        thousands.
        """
        self._ensure_rows(endpoints.clusters.values())
        clusters: dict[str, Cluster] = {}
        for config in configs:
            clusters[config.name] = self._kept(config, renewals) or self._new(config, endpoints)
            yield
        return clusters

    def commit(self, clusters: Mapping[str, Cluster], endpoints: Endpoints) -> bool:
        """Use what `prepare` returned; whether a name means another cluster now."""
        before, self.now = self.now, clusters
        self._watched = [cluster for cluster in clusters.values() if not cluster.status.told]
        for cluster in set(before.values()).difference(clusters.values()):
            cluster.retire()
            self._retired.add(cluster)
        for cluster in clusters.values():
            cluster.begin()
        self._zoned = [cluster for cluster in clusters.values() if cluster.config.lb.zone_aware is not None]
        self.health_checks.follow(clusters.values())
        self.update_endpoints(endpoints)
        return dict(before) != dict(clusters)

    def update_endpoints(self, endpoints: Endpoints) -> None:
        """Replace the hosts of all clusters; a cluster that is not in `endpoints` has none."""
        self._ensure_rows(endpoints.clusters.values())
        for name, cluster in self.now.items():
            cluster.update_endpoints(endpoints.clusters.get(name))
        self._follow_proxies()
        self.health_checks.update()

    def change_endpoints(self, delta: EndpointsDelta) -> None:
        """Replace the hosts of clusters of which `delta` has newer ones; nothing is done for any other."""
        known = {name: cluster.endpoints_version for name in delta.clusters if (cluster := self.now.get(name))}
        fresh = list(newer(delta, known))
        self._ensure_rows(fresh)
        for endpoints in fresh:
            if (cluster := self.now.get(endpoints.cluster)) is not None:
                cluster.update_endpoints(endpoints)
        if fresh:
            self._follow_proxies()
            self.health_checks.update()

    @property
    def draining(self) -> bool:
        """Whether rows of the shared tables may still be written of hosts or clusters that have left."""
        return bool(self._retired) or any(cluster.draining for cluster in self.now.values())

    async def run(self) -> None:
        """What upstream connections need beside requests. Runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._background.run)
            nursery.start_soon(self._reap)
            nursery.start_soon(self._follow_status)
            nursery.start_soon(self.health_checks.run)

    def follow_status(self) -> None:
        """Balance by what any worker has found out about hosts."""
        for cluster in self._watched:
            cluster.follow_status()

    async def _follow_status(self) -> None:
        """Balance by what any worker has found out about hosts, and find out what is this worker's to."""
        while True:
            await trio.sleep(STATUS_INTERVAL)
            for cluster in self._watched:
                cluster.follow_status()
                if cluster.outlier is not None:
                    await cluster.outlier.poll()
            self._follow_proxies()

    def _follow_proxies(self) -> None:
        """Balance by where proxies like this one are: the hosts of another cluster."""
        for cluster in self._zoned:
            cluster.balancer.follow_proxies()

    def _hosts_of(self, name: str) -> HostSet | None:
        cluster = self.now.get(name)
        return None if cluster is None else cluster.balancer.hosts

    async def _reap(self) -> None:
        """Close idle connections in time: one coarse timer for the whole worker."""
        while True:
            await trio.sleep(REAP_INTERVAL)
            now = trio.current_time()
            for cluster in [*self.now.values(), *self._retired]:
                cluster.reap(now)

    def close(self) -> None:
        """Close all idle connections; busy ones follow with their requests."""
        for cluster in [*self.now.values(), *self._retired]:
            cluster.close()

    def _kept(self, config: ClusterConfig, renewals: list[Callable[[], None]]) -> Cluster | None:
        cluster = self.now.get(config.name)
        if cluster is None or cluster.config == config:
            return cluster
        if not cluster_in_place(cluster.config, config):
            return None
        renewals.append(cluster.renew(config))
        return cluster

    def _new(self, config: ClusterConfig, endpoints: Endpoints) -> Cluster:
        hosts = endpoints.clusters.get(config.name)
        seed = random.getrandbits(32)
        kind: type[Cluster] = registry.load(TYPES, config.type) if config.type in TYPES else Cluster
        made = kind(
            config,
            hosts,
            self._stats,
            self._tables,
            seed=seed,
            numbers=self._numbers,
            background=self._background,
            owners=self.owners,
            open_log=self._open_log,
            hosts_of=self._hosts_of,
        )
        made.cluster_of = self.get
        return made

    def _ensure_rows(self, clusters: Collection[ClusterEndpoints]) -> None:
        hosts = (host.slot for cluster in clusters for locality in cluster.localities for host in locality.hosts)
        self._tables.clusters.ensure_rows(max((cluster.slot for cluster in clusters), default=-1) + 1)
        self._tables.hosts.ensure_rows(max(hosts, default=-1) + 1)
