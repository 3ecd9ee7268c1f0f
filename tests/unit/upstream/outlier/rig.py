"""Hosts of a cluster with outlier detection, and workers that tell what came of requests: shared memory, no sockets."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from random import Random

import trio

from proxy.config.cluster import Cluster, Host
from proxy.config.common import SocketAddress
from proxy.config.outlier import OutlierDetection
from proxy.stats import MemoryStats
from proxy.upstream.host_status import HostStatus
from proxy.upstream.outlier.detector import Detector
from proxy.upstream.outlier.monitor import HostMonitor
from proxy.upstream.tables import CLUSTER_GAUGES, HOST_GAUGES, ClusterColumn, HostColumn
from shm.table import TableWriter, create_table

BEGAN = time.monotonic_ns() // 1_000_000
PREFIX = "cluster.c.outlier_detection.ejections_"


class Plane:
    """One worker's `Tables` over shared memory."""

    def __init__(self, fds: tuple[int, int], writer: int) -> None:
        self.hosts, self.clusters = (TableWriter(fd, writer) for fd in fds)


class Whose:
    """`Owners` of a test's making: the worker of number `now` looks after everything."""

    def __init__(self) -> None:
        self.now = 0

    def of(self, writer: int) -> Mine:
        return Mine(self, writer)


class Mine:
    def __init__(self, whose: Whose, writer: int) -> None:
        self._whose = whose
        self._writer = writer

    def mine(self, _: str) -> bool:
        return self._whose.now == self._writer


class Worker:
    """One of them. `lines` is what it wrote to the event log; `clock` is seconds since the test began."""

    def __init__(self, rig: Rig, writer: int, *, checks: bool) -> None:
        self.clock = self._later = 0.0
        tables = Plane(rig.fds, writer)
        self.rig = rig
        self.stats = MemoryStats()
        self.status = HostStatus(tables, 0, checks=checks, ejects=True, now=self.now)
        self.lines: list[bytes] = []
        self.changes = 0
        self.detector = Detector(
            rig.cluster,
            rig.config,
            self.status,
            tables,
            0,
            self.stats,
            rig.owner.of(writer),
            changed=self._changed,
            random=Random(1),
            open_log=lambda _: self.lines.append,
        )
        self.monitors: dict[int, HostMonitor] = {}
        self.use(rig.hosts)

    def _changed(self) -> None:
        self.changes += 1

    def use(self, hosts: list[Host]) -> None:
        self.detector.update(hosts)
        self.monitors = {host.slot: self.detector.monitor(host) for host in hosts}

    def respond(self, host: int, status: int, times: int = 1) -> None:
        """The host answers, so many requests in a row."""
        for _ in range(times):
            self.monitors[host].connected()
            self.monitors[host].response(status)

    def reset(self, host: int, times: int = 1) -> None:
        for _ in range(times):
            self.monitors[host].failed()

    def poll(self, after: float = 0.0) -> None:
        """What the worker does several times per second, `after` so many seconds from its `clock`."""
        self._later = after
        trio.run(self.detector.poll)
        self._later = 0.0

    def now(self) -> int:
        """In ms, as all of them tell it."""
        return BEGAN + round((self.clock + self._later) * 1000)

    @property
    def counted(self) -> dict[str, int]:
        """Every stat that is not 0."""
        words = self.stats.words.items()
        return {name.removeprefix(PREFIX): word.value for name, word in words if word.value}


class Rig:
    """A cluster of `hosts` hosts, in rows 0, 1, 2…"""

    def __init__(self, config: OutlierDetection, fds: tuple[int, int], *, hosts: int, checks: bool = False) -> None:
        self.fds = fds
        self.config = config
        self.cluster = Cluster("c", "STATIC", outlier=config)
        self.hosts = [Host(slot, SocketAddress("127.0.0.1", 8000 + slot)) for slot in range(hosts)]
        self.owner = Whose()
        self._checks = checks

    def worker(self, writer: int = 0) -> Worker:
        return Worker(self, writer, checks=self._checks)


@contextlib.contextmanager
def rig(config: OutlierDetection, *, hosts: int = 3, checks: bool = False) -> Iterator[Rig]:
    """Closes what it has opened."""
    columns = (("hosts", len(HostColumn), HOST_GAUGES), ("clusters", len(ClusterColumn), CLUSTER_GAUGES))
    fds = [create_table(name, rows=64, columns=count, gauges=gauges, writers=8) for name, count, gauges in columns]
    try:
        yield Rig(config, (fds[0], fds[1]), hosts=hosts, checks=checks)
    finally:
        for fd in fds:
            os.close(fd)


def ejected(worker: Worker) -> list[int]:
    return [host.slot for host in worker.rig.hosts if worker.status.ejected(host)]
