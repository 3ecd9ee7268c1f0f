"""Rows of the shared tables: which host or cluster has which, and when a row may get a new owner. Pure.

Workers count a host's connections and requests in its row, so a row may change hands only when no worker can still
write to it for the old host: after every worker has acknowledged endpoints without that host.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable

from proxy.config.cluster import ClusterEndpoints, Endpoints

Key = tuple[str, str]  # cluster, address of the host; "" for the cluster itself


def host_slots(cluster: ClusterEndpoints) -> dict[Key, int]:
    """The rows of the hosts table that `cluster` uses."""
    name = cluster.cluster
    return {(name, str(host.address)): host.slot for locality in cluster.localities for host in locality.hosts}


def cluster_slots(cluster: ClusterEndpoints) -> dict[Key, int]:
    """The row of the clusters table that `cluster` uses."""
    return {(cluster.cluster, ""): cluster.slot}


class SlotAllocator:
    """Starts with the slots that `endpoints` uses; `published` and `acknowledged` keep it up to date.

    `rows` is how many rows the table has already. Those that `endpoints` does not use may be in use by a worker that
    still serves what a dead controller had published before: they wait for an acknowledgement like retired ones.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        rows: int = 0,
        slots_of: Callable[[ClusterEndpoints], dict[Key, int]] = host_slots,
    ) -> None:
        self._slots_of = slots_of
        self._slots: dict[Key, int] = {}
        self._of: defaultdict[str, set[Key]] = defaultdict(set)
        self._given: set[str] = set()  # clusters with slots that have not been published
        for name, cluster in endpoints.clusters.items():
            found = slots_of(cluster)
            self._slots |= found
            self._of[name] = set(found)
        self._retired: dict[Key, int] = {}  # → the first version without it
        self._rows = max(rows, 1 + max(self._slots.values(), default=-1))
        self._unknown = set(range(self._rows)) - set(self._slots.values())
        self._unknown_until = endpoints.version
        self._free: list[int] = []
        self._reused: set[int] = set()

    @property
    def rows(self) -> int:
        """How many rows the table needs for all slots given so far."""
        return self._rows

    def slot(self, cluster: str, address: str = "") -> int:
        """The slot of a host or cluster: the one it has, or had and nobody got since, otherwise the lowest free one."""
        key = (cluster, address)
        if key not in self._slots:
            if self._free:
                self._slots[key] = heapq.heappop(self._free)
                self._reused.add(self._slots[key])
            else:
                self._slots[key] = self._rows
                self._rows += 1
            self._of[cluster].add(key)
            self._given.add(cluster)
        return self._slots[key]

    def take_reused(self) -> set[int]:
        """The slots that got a new owner since the last call; their rows must be cleared before they are published."""
        reused, self._reused = self._reused, set()
        return reused

    def published(self, endpoints: Endpoints, changed: Iterable[str] | None = None) -> None:
        """Retires the slots of hosts that `endpoints` has no more, and takes back those that returned. Only clusters
        that have `changed` are looked at, by default all.
        """
        names = {*self._of, *endpoints.clusters} if changed is None else self._given.union(changed)
        self._given = set()
        for name in names:
            cluster = endpoints.clusters.get(name)
            present = {} if cluster is None else self._slots_of(cluster)
            for key in self._of[name] - present.keys():
                self._retired.setdefault(key, endpoints.version)
            for key in self._retired.keys() & present.keys():
                del self._retired[key]

    def acknowledged(self, version: int) -> None:
        """Every worker serves the endpoints of `version` or later ones: slots retired by then are free."""
        if version >= self._unknown_until:
            for slot in self._unknown:
                heapq.heappush(self._free, slot)
            self._unknown = set()
        for key in [key for key, retired in self._retired.items() if retired <= version]:
            del self._retired[key]
            heapq.heappush(self._free, self._slots.pop(key))
            self._of[key[0]].discard(key)
