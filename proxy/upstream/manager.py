"""Every cluster of one worker, by name."""

from __future__ import annotations

import random

import trio

from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Endpoints
from proxy.stats import Stats
from proxy.upstream.cluster import Cluster
from proxy.upstream.tables import Tables

REAP_INTERVAL = 1.0  # seconds: how late an idle connection may be closed


class ClusterManager:
    """Built for one configuration; endpoints are replaced while it lives."""

    def __init__(self, config: CompiledConfig, endpoints: Endpoints, stats: Stats, tables: Tables) -> None:
        self._tables = tables
        tables.clusters.ensure_rows(max((cluster.slot for cluster in config.clusters), default=-1) + 1)
        self._ensure_host_rows(endpoints)
        self._clusters = {
            cluster.name: Cluster(
                cluster,
                endpoints.clusters.get(cluster.name),
                stats,
                tables,
                seed=random.getrandbits(32),
            )
            for cluster in config.clusters
        }

    def get(self, name: str) -> Cluster | None:
        """The cluster called `name`, or None."""
        return self._clusters.get(name)

    def update_endpoints(self, endpoints: Endpoints) -> None:
        """Replace the hosts of all clusters; a cluster that is not in `endpoints` has none."""
        self._ensure_host_rows(endpoints)
        for name, cluster in self._clusters.items():
            cluster.update_endpoints(endpoints.clusters.get(name))

    @property
    def draining(self) -> bool:
        """Whether a request still runs to a host that has left its cluster."""
        return any(cluster.draining for cluster in self._clusters.values())

    async def run(self) -> None:
        """Close idle connections in time: one coarse timer for the whole worker. Runs until cancelled."""
        while True:
            await trio.sleep(REAP_INTERVAL)
            now = trio.current_time()
            for cluster in self._clusters.values():
                cluster.reap(now)

    def close(self) -> None:
        """Close all idle connections; busy ones follow with their requests."""
        for cluster in self._clusters.values():
            cluster.close()

    def _ensure_host_rows(self, endpoints: Endpoints) -> None:
        slots = (
            host.slot
            for cluster in endpoints.clusters.values()
            for locality in cluster.localities
            for host in locality.hosts
        )
        self._tables.hosts.ensure_rows(max(slots, default=-1) + 1)
