"""A running proxy as the admin server sees it, without processes: real regions and tables, written by the test."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from master.admin.view import RejectedError, State
from master.controller.drains import Drains, begun, undone
from master.controller.questions import Asked, Sessions
from master.stats.aggregate import Aggregator
from proxy.config.bootstrap import CompiledConfig, Node
from proxy.config.cluster import Cluster, ClusterEndpoints, Endpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.flight_recorder import RingRecorder
from proxy.log import COMPONENTS
from proxy.upstream.tables import CLUSTER_GAUGES, HOST_GAUGES, ClusterColumn, HostColumn
from shm import fold, metrics, processes, table
from shm.ring import RingReader, RingWriter, create_ring

ROWS = 64
MAX_WORKERS = 4


class LiveView:
    """Implements `ServerView`. The test writes stats through `stats`, table words through the writers."""

    def __init__(self, config: CompiledConfig) -> None:
        self.config = config
        self.endpoints: Endpoints = config.endpoints
        self.state: State = "LIVE"
        self.started_at = time.time()
        self.configured_at = self.started_at
        self.options: Mapping[str, Any] = {"concurrency": 2, "config_path": "envoy.yaml"}
        self.listeners: Sequence[tuple[str, Sequence[str]]] = [
            (listener.name, [str(address) for address in listener.addresses]) for listener in config.listeners
        ]
        self.orders: list[str] = []
        self.drains: Drains = {}
        self.generation = 1
        self.reload_status: Mapping[str, Any] = {"phase": "idle", "changes": [], "history": []}
        self.generations: list[tuple[int, str, float]] = []
        self.connected: list[dict[str, Any]] = []
        self.silent: list[Asked] = []
        self.restart_status: Mapping[str, Any] = {"phase": "idle", "generation": 0, "outcome": ""}
        self.log_levels: Mapping[str, str] = dict.fromkeys(COMPONENTS, "info")
        self.fds: list[int] = []
        self._regions = [self._own(metrics.create_region(serial)) for serial in (1, 2)]
        self.stats = metrics.MetricsWriter(self._regions[0])
        # A region has one writer: the admin server may run in another thread than the test.
        self.admin_stats = metrics.MetricsWriter(self._regions[1])
        self._aggregator = Aggregator(fold.Base(self._own(fold.create_base())))
        hosts = self._own(
            table.create_table("hosts", rows=ROWS, columns=len(HostColumn), gauges=HOST_GAUGES, writers=2)
        )
        clusters = self._own(
            table.create_table("clusters", rows=ROWS, columns=len(ClusterColumn), gauges=CLUSTER_GAUGES, writers=2)
        )
        self.hosts, self.clusters = table.TableReader(hosts), table.TableReader(clusters)
        self.host_writers = [table.TableWriter(hosts, writer) for writer in range(2)]
        self.cluster_writers = [table.TableWriter(clusters, writer) for writer in range(2)]
        ring = self._own(create_ring(slots=16, slot_bytes=2048))
        self.rings: Mapping[int, RingReader] = {3: RingReader(ring)}
        self.recorder = RingRecorder(RingWriter(ring), slow=1.0, worker=0)
        self.process_table = processes.ProcessTable(self._own(processes.ProcessTable.create(8)))

    def _own(self, fd: int) -> int:
        self.fds.append(fd)
        return fd

    def add_process(self, slot: int, role: processes.Role, **words: int) -> None:
        """Put a process into the table; the words are named in lower case, `pid` is this process by default."""
        word = processes.Word
        values = {"index": 0, "generation": 1, "state": processes.State.SERVING, "started_ns": time.monotonic_ns()}
        for name, value in {**values, "role": role, **words}.items():
            self.process_table.write(slot, word[name.upper()], value)
        self.process_table.write(slot, word.PID, words.get("pid", os.getpid()))

    def metrics(self) -> metrics.Metrics:
        return self._aggregator.read([metrics.MetricsReader(region) for region in self._regions])

    def processes(self) -> list[processes.ProcessInfo]:
        return self.process_table.live()

    async def shutdown(self, *, now: bool = False) -> None:
        self.orders.append("shutdown now" if now else "shutdown")

    async def hot_restart(self, *, ready_timeout: float | None, canary: float | None) -> None:
        self.orders.append(f"hot_restart {ready_timeout} {canary}")

    async def sessions(self, *, older: float, listener: str, limit: int, generation: int | None = None) -> Sessions:
        asked = [one for one in self.connected if generation in (None, one["generation"])]
        chosen = [one for one in asked if one["age"] >= older and listener in ("", one["listener"])]
        return Sessions(len(chosen), chosen[:limit], self.silent)

    async def reload(self, *, why: str, show: bool, version: int | None) -> None:
        if version == MAX_WORKERS:
            raise RejectedError("not now")
        self.orders.append(f"{why} {version} {show}")

    async def set_workers(self, count: int) -> None:
        if count > MAX_WORKERS:
            raise RejectedError(f"{count} workers are more than the {MAX_WORKERS} that the test allows")
        self.orders.append(f"workers {count}")

    async def set_log_levels(self, levels: Mapping[str, str], *, seconds: float | None = None) -> None:
        self.log_levels = {**self.log_levels, **levels}
        self.orders.append(f"log {dict(levels)} for {seconds}")

    async def fail_health_check(self, failed: bool) -> None:
        self.state = "DRAINING" if failed else "LIVE"
        self.orders.append(f"health check failed: {failed}")

    async def drain_listeners(self, names: Collection[str], *, graceful: bool, close: bool) -> None:
        self.drains = begun(
            self.drains, names, now=time.monotonic(), seconds=60, immediate=False, graceful=graceful, close=close
        )
        self.orders.append(f"drain {', '.join(names)}")

    async def undo_drain(self, names: Collection[str]) -> None:
        self.drains = undone(self.drains, names)
        self.orders.append(f"undo the drain of {', '.join(names)}")

    async def reset_counters(self) -> None:
        self.orders.append("reset counters")

    async def reopen_logs(self) -> None:
        self.orders.append("reopen logs")

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)


@contextmanager
def live_view(config: CompiledConfig | None = None) -> Iterator[LiveView]:
    """A view over `config` (or an empty one), its memory freed at the end."""
    view = LiveView(config or configuration([]))
    try:
        yield view
    finally:
        view.close()


def configuration(clusters: Iterable[Cluster], hosts: Iterable[tuple[str, Host]] = (), **more: Any) -> CompiledConfig:
    """A compiled configuration of `clusters` and (cluster name, host) pairs in one locality each."""
    of_cluster: dict[str, list[Host]] = {}
    for name, host in hosts:
        of_cluster.setdefault(name, []).append(host)
    endpoints = {
        name: ClusterEndpoints(name, 1, (LocalityHosts(0, tuple(members)),)) for name, members in of_cluster.items()
    }
    fields: dict[str, Any] = {"version": 1, "node": Node(id="n1", cluster="c1"), "listeners": (), **more}
    return CompiledConfig(clusters=tuple(clusters), endpoints=Endpoints(1, endpoints), **fields)


def one_cluster() -> CompiledConfig:
    """The cluster `back` with one host, 127.0.0.1:1 in row 0."""
    return configuration([Cluster("back", "STATIC")], [("back", Host(0, SocketAddress("127.0.0.1", 1)))])
