"""A hot restart takes along what health checks and outlier detection know of hosts, by the cluster's name and the
host's address.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import ClusterEndpoints, Endpoints, Host
from proxy.upstream.tables import ClusterColumn, HostColumn, Table
from shm.table import TableReader
from workers import committed, published

log = logging.getLogger("controller")

BEFORE: Final = "before/"
"""Begins the names of the descriptors of the generation that serves while this one starts (`Spawning`)."""

STAMPED: Final = (HostColumn.CHECKED, HostColumn.EJECTED, HostColumn.CHECK_BEGUN)
"""Words that begin with their time, so that whatever is found out here is newer."""

COUNTED: Final = (HostColumn.EJECTIONS, HostColumn.EJECTION_BACKOFF)
"""Sums over all workers."""


class Carried:
    """Of the generation before, whose tables another release may have made."""

    def __init__(self, hosts: TableReader, endpoints: Endpoints) -> None:
        self._hosts = hosts
        self._slots = {key: host.slot for key, host in _by_name(endpoints.clusters.values())}

    @classmethod
    def of(cls, inherited: Mapping[str, int], config: CompiledConfig) -> Carried | None:
        """None if there is nothing to carry. What cannot be read costs a round of health checks, and no restart."""
        looks_after = (cluster.health_check is not None or cluster.outlier is not None for cluster in config.clusters)
        before = {name.removeprefix(BEFORE): fd for name, fd in inherited.items() if name.startswith(BEFORE)}
        if not before or not any(looks_after):
            return None
        try:
            hosts = TableReader(before["hosts"])
            return cls(hosts, published.read(committed.read(before["config"]), before).now)
        except Exception:
            log.exception("what the generation before knows of hosts cannot be read")
            return None

    def give(self, endpoints: Endpoints, hosts: Table, clusters: Table) -> None:
        """Write it to the rows of those of `endpoints` of which nothing is known yet."""
        for cluster in endpoints.clusters.values():
            known = sum(self._give(key, host, hosts) for key, host in _by_name([cluster]))
            if known:
                clusters.add(cluster.slot, ClusterColumn.STATUS_CHANGES, known)

    def _give(self, key: tuple[str, str], host: Host, hosts: Table) -> bool:
        slot = self._slots.get(key)
        if slot is None:
            return False
        words = {column: _word(self._hosts.highest, slot, column) for column in STAMPED}
        words |= {column: _word(self._hosts.total, slot, column) for column in COUNTED}
        new = [column for column, word in words.items() if word and not hosts.highest(host.slot, column)]
        for column in new:
            hosts.set(host.slot, column, words[column])
        return bool(new)


def _word(read: Callable[[int, int], int], slot: int, column: HostColumn) -> int:
    try:
        return read(slot, column)
    except IndexError:  # the release before has no such column
        return 0


def _by_name(clusters: Iterable[ClusterEndpoints]) -> Iterable[tuple[tuple[str, str], Host]]:
    for cluster in clusters:
        for locality in cluster.localities:
            for host in locality.hosts:
                yield (cluster.cluster, str(host.address)), host
