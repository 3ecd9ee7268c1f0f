"""The manager: clusters by name, endpoints that change, the reaper."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from proxy.config.cluster import Cluster, ClusterEndpoints, Endpoints
from proxy.errors import ProxyError
from proxy.http.headers import Headers
from proxy.stats import MemoryStats
from proxy.upstream.manager import ClusterManager
from proxy.upstream.tables import HostColumn, MemoryTable, MemoryTables
from tests.kit.trio import run_trio
from tests.unit.upstream.rig import OK, answering, endpoints, origin, read_body
from tests.unit.upstream.test_pool import with_clock


class RowCount(MemoryTable):
    """A table that remembers how many rows it was asked for."""

    rows = 0

    def ensure_rows(self, rows: int) -> None:
        self.rows = rows


def finish(steps: Generator[None, None, Mapping[str, Any]]) -> Mapping[str, Any]:
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: Mapping[str, Any] = done.value
            return found


class Managed:
    """A manager of the clusters `c` and `d`."""

    def __init__(self, c: ClusterEndpoints) -> None:
        clusters = (Cluster("c", "STATIC"), Cluster("d", "STRICT_DNS", alt_stat_name="alt:d"))
        self.stats = MemoryStats()
        self.tables = MemoryTables()
        self.tables.hosts, self.tables.clusters = RowCount(), RowCount()
        self.manager = ClusterManager(self.stats, self.tables)
        self.manager.commit(finish(self.manager.prepare(clusters, self.of(c), [])), self.of(c))

    @staticmethod
    def of(c: ClusterEndpoints) -> Endpoints:
        return Endpoints(c.version, {"c": c, "d": ClusterEndpoints("d", 1, (), 1)})

    async def get(self, name: str = "c") -> bytes:
        cluster = self.manager.get(name)
        assert cluster is not None
        stream = await cluster.open_stream()
        try:
            await stream.send_request(b"GET", b"/", b"h", Headers(), end_stream=True)
            return await read_body(stream)
        finally:
            stream.close()


@run_trio
async def test_clusters_by_name() -> None:
    async with origin(answering(OK)) as server:
        managed = Managed(endpoints(server.address))
        assert await managed.get("c") == b"ok"
        assert managed.manager.get("nobody") is None
        with contextlib.suppress(ProxyError):
            await managed.get("d")
        assert managed.stats.value("cluster.alt_d.upstream_cx_none_healthy") == 1
        assert (managed.tables.hosts.rows, managed.tables.clusters.rows) == (1, 2)
        managed.manager.close()
        assert managed.stats.value("cluster.c.upstream_cx_active") == 0


@run_trio
async def test_endpoints_change() -> None:
    async with origin(answering(OK)) as one, origin(answering(OK)) as two:
        managed = Managed(endpoints(one.address))
        await managed.get()
        managed.manager.update_endpoints(managed.of(endpoints(one.address, two.address, version=2)))
        assert managed.tables.hosts.rows == 2
        await managed.get()
        await managed.get()
        assert (one.accepted, two.accepted) == (1, 1)
        managed.manager.update_endpoints(Endpoints(3, {}))
        assert [managed.tables.hosts.get(slot, HostColumn.CX_ACTIVE) for slot in (0, 1)] == [0, 0]
        with contextlib.suppress(ProxyError):
            await managed.get()
        assert managed.stats.value("cluster.c.upstream_cx_none_healthy") == 1


@with_clock
async def test_the_reaper(clock: trio.testing.MockClock) -> None:
    async with origin(answering(OK)) as server:
        managed = Managed(endpoints(server.address))
        await managed.get()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(managed.manager.run)
            await wait_all_tasks_blocked()
            assert managed.stats.value("cluster.c.upstream_cx_active") == 1
            clock.jump(Cluster(0, "c", "STATIC").idle_timeout)
            await wait_all_tasks_blocked()
            assert managed.stats.value("cluster.c.upstream_cx_active") == 0
            nursery.cancel_scope.cancel()
        assert managed.stats.value("cluster.c.upstream_cx_idle_timeout") == 1
