"""Which rows of the two shared tables the hosts and clusters have (`slots.py`), and room for them."""

from __future__ import annotations

import msgspec

from master.dns.slots import SlotAllocator, cluster_slots, host_slots
from proxy.config.cluster import Endpoints, LocalityHosts
from proxy.config.endpoints_delta import changed_clusters
from shm.table import clear_row, grow


class Rows:
    """Begins with what `endpoints` uses; the tables have `host_rows` and `cluster_rows` rows already."""

    def __init__(self, endpoints: Endpoints, *, host_rows: int = 0, cluster_rows: int = 0) -> None:
        self._published = endpoints
        self.hosts = SlotAllocator(endpoints, rows=host_rows, slots_of=host_slots)
        self.clusters = SlotAllocator(endpoints, rows=cluster_rows, slots_of=cluster_slots)

    def cluster(self, name: str) -> int:
        """The row of a cluster."""
        return self.clusters.slot(name)

    def placed(self, cluster: str, localities: tuple[LocalityHosts, ...]) -> tuple[LocalityHosts, ...]:
        """`localities` with the rows of their hosts."""
        return tuple(
            msgspec.structs.replace(
                locality,
                hosts=tuple(
                    msgspec.structs.replace(host, slot=self.hosts.slot(cluster, str(host.address)))
                    for host in locality.hosts
                ),
            )
            for locality in localities
        )

    def published(self, endpoints: Endpoints) -> None:
        """The workers are told to use `endpoints`. What is the same object as before is not looked at."""
        changed = changed_clusters(self._published, endpoints)
        self._published = endpoints
        self.hosts.published(endpoints, changed)
        self.clusters.published(endpoints, changed)

    def acknowledged(self, version: int) -> None:
        """No worker writes any more to a row that the endpoints of `version` do not use."""
        self.hosts.acknowledged(version)
        self.clusters.acknowledged(version)

    def make_room(self, hosts: int, clusters: int) -> None:
        """In the tables of these descriptors, before anybody hears of the rows given so far."""
        for fd, slots in ((hosts, self.hosts), (clusters, self.clusters)):
            grow(fd, slots.rows)
            for row in slots.take_reused():
                clear_row(fd, row)
