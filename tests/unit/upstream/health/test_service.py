"""Which hosts a worker checks, and what it knows when it begins to serve."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping

import pytest
import trio

from proxy.config.cluster import Cluster, ClusterEndpoints, Endpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.config.health_check import EndpointCheck, HealthCheck, TcpCheck
from proxy.stats import MemoryStats
from proxy.upstream import host_status
from proxy.upstream.cluster import Cluster as RunningCluster
from proxy.upstream.health import checkers
from proxy.upstream.health.checkers import Checker
from proxy.upstream.health.service import Tools
from proxy.upstream.health.target import Target
from proxy.upstream.health.verdicts import Failure, Result
from proxy.upstream.host_status import Checked
from proxy.upstream.manager import ClusterManager
from proxy.upstream.tables import HostColumn, MemoryTables
from tests.kit.trio import run_trio
from tests.unit.upstream.health.rig import check

CHECK = check(TcpCheck(), interval=10.0, timeout=3.0, initial_jitter=0.0)


class Worlds:
    """Hosts by port: which answer, and which worker has asked which of them, in order."""

    def __init__(self) -> None:
        self.down: set[int] = set()
        self.mute: set[int] = set()
        self.asked: list[tuple[str, int]] = []
        self.names: dict[int, str] = {}

    def checker(self, worker: str, host: Host) -> Checker:
        assert isinstance(host.address, SocketAddress)
        return _Checker(self, worker, host.address.port)


class _Checker:
    def __init__(self, worlds: Worlds, worker: str, port: int) -> None:
        self._worlds, self._worker, self._port = worlds, worker, port

    async def check(self) -> Result:
        self._worlds.asked.append((self._worker, self._port))
        if self._port in self._worlds.mute:
            await trio.sleep_forever()
        return Result(Failure.ACTIVE if self._port in self._worlds.down else None)

    async def watch(self) -> Result:
        await trio.sleep_forever()
        raise AssertionError

    def abandon(self) -> None: ...
    def close(self) -> None: ...


class Chosen:
    """`Owners` as a test wants it."""

    def __init__(self, *ports: int) -> None:
        self.ports = set(ports)

    def mine(self, key: str) -> bool:
        return int(key.rpartition(":")[2]) in self.ports


class Worker:
    def __init__(
        self, name: str, worlds: Worlds, tables: MemoryTables, *ports: int, log: list[str] | None = None
    ) -> None:
        self.name = name
        self.worlds = worlds
        self.owners = Chosen(*ports)
        self.stats = MemoryStats()
        lines = log if log is not None else []
        tools = Tools(lambda mutations: None, lambda path: lambda line: lines.append(f"{path} {line.decode()}"))
        self.manager = ClusterManager(self.stats, tables, owners=self.owners, tools=tools)
        worlds.names[id(self.manager._background)] = name

    def prepared(self, endpoints: Endpoints, *configs: Cluster) -> Mapping[str, RunningCluster]:
        steps = self.manager.prepare(configs, endpoints, [])
        while True:
            try:
                next(steps)
            except StopIteration as done:
                found: Mapping[str, RunningCluster] = done.value
                return found

    def configure(self, endpoints: Endpoints, *configs: Cluster) -> None:
        self.manager.commit(self.prepared(endpoints, *configs), endpoints)

    def hosts(self) -> dict[int, Checked]:
        cluster = self.manager.now["c"]
        assert cluster.endpoints is not None
        return {
            host.address.port: cluster.status.checked(host)
            for locality in cluster.endpoints.localities
            for host in locality.hosts
            if isinstance(host.address, SocketAddress)
        }


def config(health_check: HealthCheck | None = CHECK) -> Cluster:
    return Cluster("c", "STATIC", health_check=health_check)


_versions = itertools.count(1)


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> Worlds:
    made = Worlds()

    def make(kind: TcpCheck, target: Target[TcpCheck]) -> Checker:
        return made.checker(made.names[id(target._means.background)], target.host)

    monkeypatch.setattr(checkers, "make", make)
    monkeypatch.setattr(host_status, "milliseconds", lambda: 1_000_000 + round(trio.current_time() * 1000))
    return made


@contextlib.asynccontextmanager
async def running(*workers: Worker) -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        for worker in workers:
            nursery.start_soon(worker.manager.run)
        yield nursery
        nursery.cancel_scope.cancel()


def endpoints(*ports: int, disabled: int = 0) -> Endpoints:
    hosts = tuple(
        Host(port, SocketAddress("127.0.0.1", port), check=EndpointCheck(disabled=True) if port == disabled else None)
        for port in ports
    )
    version = next(_versions)
    return Endpoints(version, {"c": ClusterEndpoints("c", version, (LocalityHosts(0, hosts),))})


KNOWN, FAILED = Checked.KNOWN, Checked.FAILED_ACTIVE_HC


@run_trio(virtual_time=True, deadline=1000)
async def test_each_host_is_checked_by_the_worker_that_owns_it(worlds: Worlds) -> None:
    tables = MemoryTables()
    one, two = Worker("one", worlds, tables, 1, 2), Worker("two", worlds, tables, 3)
    hosts = endpoints(1, 2, 3)
    worlds.down = {2}
    for worker in (one, two):
        worker.configure(hosts, config())
    async with running(one, two):
        await one.manager.health_checks.warm()
        await two.manager.health_checks.warm()
        assert trio.current_time() < 1
        assert sorted(worlds.asked) == [("one", 1), ("one", 2), ("two", 3)]
        assert one.hosts() == two.hosts() == {1: KNOWN, 2: KNOWN | FAILED, 3: KNOWN}
        picked = {two.manager.now["c"].pick().host.slot for _ in range(9)}  # type: ignore[union-attr]
        assert picked == {1, 3}


@run_trio(virtual_time=True, deadline=1000)
async def test_another_worker_goes_on_within_the_interval(worlds: Worlds) -> None:
    tables = MemoryTables()
    one, two = Worker("one", worlds, tables, 1), Worker("two", worlds, tables)
    hosts = endpoints(1)
    for worker in (one, two):
        worker.configure(
            hosts,
            Cluster(
                "c",
                "STATIC",
                health_check=check(TcpCheck(), no_traffic_interval=10.0, no_traffic_healthy_interval=10.0),
            ),
        )
    async with running(one, two):
        await trio.sleep(25)
        one.owners.ports, two.owners.ports = set(), {1}
        await trio.sleep(20)
    assert worlds.asked == [("one", 1)] * 3 + [("two", 1)] * 2


@run_trio(virtual_time=True, deadline=1000)
async def test_a_start_waits_for_the_first_verdicts_and_no_longer_than_they_may_take(worlds: Worlds) -> None:
    worker = Worker("one", worlds, MemoryTables(), 1, 2)
    worlds.mute = {2}
    worker.configure(endpoints(1, 2), config())
    async with running(worker):
        await worker.manager.health_checks.warm()
        assert 3 <= trio.current_time() <= 3.1
        assert worker.hosts() == {1: KNOWN, 2: KNOWN | FAILED | Checked.ACTIVE_HC_TIMEOUT}


@run_trio(virtual_time=True, deadline=1000)
async def test_a_host_whose_owner_is_missing_delays_no_start_for_ever(worlds: Worlds) -> None:
    worker = Worker("one", worlds, MemoryTables())
    worker.configure(endpoints(1), config())
    async with running(worker):
        await worker.manager.health_checks.warm()
        assert 4 <= trio.current_time() <= 4.1


@run_trio(virtual_time=True, deadline=1000)
async def test_hosts_come_and_go(worlds: Worlds) -> None:
    worker = Worker("one", worlds, MemoryTables(), 1, 2, 3)
    worker.configure(endpoints(1, 2), config())
    async with running(worker):
        await trio.sleep(1)
        worlds.asked.clear()
        worker.manager.update_endpoints(endpoints(2, 3))
        await trio.sleep(1)
        assert worlds.asked == [("one", 3)]
        await trio.sleep(200)
        assert {port for _, port in worlds.asked} == {2, 3}


@run_trio(virtual_time=True, deadline=1000)
async def test_a_host_that_is_not_to_be_checked_is_well(worlds: Worlds) -> None:
    worker = Worker("one", worlds, MemoryTables(), 1, 2)
    worker.configure(endpoints(1, 2, disabled=2), config())
    async with running(worker):
        await worker.manager.health_checks.warm()
        assert worlds.asked == [("one", 1)]
        assert worker.hosts() == {1: KNOWN, 2: KNOWN}


@run_trio(virtual_time=True, deadline=1000)
async def test_a_reload_begins_and_ends_checks(worlds: Worlds) -> None:
    worker = Worker("one", worlds, MemoryTables(), 1)
    hosts = endpoints(1)
    worker.configure(hosts, config(None))
    async with running(worker):
        await trio.sleep(100)
        assert worlds.asked == []
        worker.configure(hosts, config())
        await trio.sleep(1)
        assert worlds.asked == [("one", 1)]
        worker.configure(hosts, config(None))
        await trio.sleep(200)
        assert worlds.asked == [("one", 1)]


@run_trio(virtual_time=True, deadline=1000)
async def test_hosts_that_a_reload_brings_are_asked_before_they_serve(worlds: Worlds) -> None:
    worker = Worker("one", worlds, MemoryTables(), 1, 2)
    worker.configure(endpoints(1), config(check(TcpCheck(), interval=30.0)))
    worlds.down = {2}
    async with running(worker):
        await trio.sleep(1)
        following = worker.prepared(endpoints(1, 2), config())
        await worker.manager.health_checks.prepare(following.values())
        assert worlds.asked == [("one", 1), ("one", 2)]
        picked = {following["c"].pick().host.slot for _ in range(9)}  # type: ignore[union-attr]
        assert picked == {1}


@run_trio(virtual_time=True, deadline=1000)
async def test_what_is_prepared_and_forgotten_is_checked_no_more(worlds: Worlds) -> None:
    worker = Worker("one", worlds, MemoryTables(), 1, 2)
    worker.configure(endpoints(1), config(None))
    async with running(worker):
        following = worker.prepared(endpoints(1, 2), config())
        await worker.manager.health_checks.prepare(following.values())
        worker.manager.health_checks.follow(worker.manager.now.values())
        await trio.sleep(200)
        assert sorted(worlds.asked) == [("one", 1), ("one", 2)]


@run_trio(virtual_time=True, deadline=1000)
async def test_events_are_written(worlds: Worlds) -> None:
    log: list[str] = []
    worker = Worker("one", worlds, MemoryTables(), 1, log=log)
    worker.configure(endpoints(1), config(check(TcpCheck(), event_logs=("/a", "/b"))))
    async with running(worker):
        await worker.manager.health_checks.warm()
    assert [line.split()[0] for line in log] == ["/a", "/b"]
    assert all('"add_healthy_event":{"first_check":true}' in line for line in log)


@run_trio(virtual_time=True, deadline=1000)
async def test_a_cluster_without_traffic_is_checked_seldom(worlds: Worlds) -> None:
    tables = MemoryTables()
    worker = Worker("one", worlds, tables, 1)
    worker.configure(endpoints(1), config())
    async with running(worker):
        await trio.sleep(65)
        assert len(worlds.asked) == 2
        tables.hosts.add(1, HostColumn.CX_TOTAL, 1)
        await trio.sleep(55 + 35)
        assert len(worlds.asked) == 2 + 1 + 3


@run_trio(virtual_time=True, deadline=1000)
async def test_whoever_takes_over_knows_that_there_was_traffic(worlds: Worlds) -> None:
    """As after a hot restart, which takes along what is known of hosts, and not what they have served."""
    before = MemoryTables()
    before.hosts.add(1, HostColumn.CX_TOTAL, 1)
    one = Worker("one", worlds, before, 1)
    one.configure(endpoints(1), config())
    async with running(one):
        await trio.sleep(5)
    after = MemoryTables()
    for column in (HostColumn.CHECKED, HostColumn.CHECK_BEGUN):
        after.hosts.set(1, column, before.hosts.get(1, column))
    worlds.asked.clear()
    two = Worker("two", worlds, after, 1)
    two.configure(endpoints(1), config())
    async with running(two):
        await trio.sleep(28)
    assert worlds.asked == [("two", 1)] * 3
