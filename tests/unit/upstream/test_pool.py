"""One host's pool: limits, waiting, timeouts, and cancellation at every point."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from proxy.config.cluster import CircuitBreaker
from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.common import SocketAddress
from proxy.errors import Flag, ProxyError
from proxy.http.headers import Headers
from proxy.stats import MemoryStats
from proxy.upstream.cluster import Cluster
from proxy.upstream.stream import UpstreamStream
from proxy.upstream.tables import CLUSTER_GAUGES, HOST_GAUGES, ClusterColumn, HostColumn
from shm.table import TableReader, TableWriter, create_table
from tests.kit.trio import run_trio
from tests.unit.upstream.rig import OK, Rig, answering, endpoints, origin, read_body, silent
from tests.unit.upstream.test_connect import close_all, full_listener


def with_clock(test: Callable[[MockClock], Awaitable[None]]) -> Callable[[], None]:
    """Real sockets under a clock that only the test moves."""

    def run() -> None:
        clock = MockClock()
        trio.run(test, clock, clock=clock)

    return run


async def exchange(stream: UpstreamStream) -> bytes:
    await stream.send_request(b"GET", b"/", b"h", Headers(), end_stream=True)
    return await read_body(stream)


# --- limits -----------------------------------------------------------------------------------------------------------


@run_trio
async def test_max_pending_requests() -> None:
    async with origin(answering(OK)) as server, Rig(server.address, breaker={"max_pending_requests": 0}) as rig:
        with pytest.raises(ProxyError, match=r"\{overflow\}") as caught:
            await rig.cluster.open_stream()
        assert caught.value.flag is Flag.UPSTREAM_OVERFLOW
        assert rig.nonzero() == {"rq_pending_overflow": 1, "rq_503": 1}
        assert server.accepted == 0


@run_trio
async def test_max_requests_counts_requests_with_a_connection() -> None:
    async with origin(answering(OK)) as server, Rig(server.address, breaker={"max_requests": 1}) as rig:
        busy = await rig.cluster.open_stream()
        with pytest.raises(ProxyError, match=r"\{overflow\}"):
            await rig.cluster.open_stream()
        # as in Envoy, the connection was opened first, and stays
        assert [rig.stat("rq_active_overflow"), rig.stat("rq_pending_overflow"), rig.stat("cx_active")] == [1, 0, 2]
        assert await exchange(busy) == b"ok"
        busy.close()
        assert await rig.get() == b"ok"
        assert rig.stat("cx_total") == 2


@run_trio
async def test_at_max_connections_requests_wait_in_order() -> None:
    order: list[int] = []
    async with origin(answering(OK)) as server, Rig(server.address, breaker={"max_connections": 1}) as rig:
        first = await rig.cluster.open_stream()

        async def later(number: int) -> None:
            assert await rig.get() == b"ok"
            order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(later, number)
                await wait_all_tasks_blocked()
            assert rig.stat("rq_pending_active") == rig.tables.clusters.get(0, ClusterColumn.PENDING) == 3
            assert await exchange(first) == b"ok"
            first.close()
        assert order == [0, 1, 2]
        assert server.accepted == rig.stat("cx_total") == 1
        assert [rig.stat("cx_overflow"), rig.stat("rq_pending_total")] == [3, 4]


@run_trio
async def test_a_waiter_opens_a_connection_when_the_busy_one_ends_badly() -> None:
    async with origin(answering(OK)) as server, Rig(server.address, breaker={"max_connections": 1}) as rig:
        first = await rig.cluster.open_stream()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.get)
            await wait_all_tasks_blocked()
            first.close()  # its request was never sent
        assert server.accepted == rig.stat("rq_200") + 1 == 2


@run_trio
async def test_an_empty_pool_gets_a_connection_though_another_host_has_them_all() -> None:
    async with (
        origin(answering(OK)) as one,
        origin(answering(OK)) as two,
        Rig(one.address, two.address, breaker={"max_connections": 1}) as rig,
    ):
        streams = [await rig.cluster.open_stream() for _ in range(2)]
        assert [rig.host(HostColumn.CX_ACTIVE, slot) for slot in (0, 1)] == [1, 1]
        assert rig.tables.clusters.get(0, ClusterColumn.CONNECTIONS) == 2
        for stream in streams:
            stream.close()
        assert rig.in_use() == {}


# --- time -------------------------------------------------------------------------------------------------------------


@run_trio(virtual_time=True)
async def test_connect_timeout_fails_everybody_who_waits() -> None:
    address, socks = full_listener()
    rig = Rig(address, breaker={"max_connections": 1}, connect_timeout=3)
    failures: list[str] = []

    async def attempt() -> None:
        with pytest.raises(ProxyError) as caught:
            await rig.cluster.open_stream()
        failures.append(f"{caught.value.detail} at {trio.current_time() - began}")

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(attempt)
    assert failures == ["upstream_reset_before_response_started{connection_timeout} at 3.0"] * 3
    assert [rig.stat("cx_connect_timeout"), rig.stat("cx_connect_fail"), rig.stat("cx_destroy_local")] == [1, 1, 1]
    assert rig.stat("rq_pending_failure_eject") == rig.stat("rq_503") == 3
    assert rig.in_use() == {}
    close_all(*socks)


@with_clock
async def test_idle_timeout(clock: MockClock) -> None:
    async with origin(answering(OK)) as server, Rig(server.address, idle_timeout=60) as rig:
        await rig.get()
        clock.jump(59)
        rig.cluster.reap(trio.current_time())
        assert rig.stat("cx_active") == 1
        clock.jump(1)
        rig.cluster.reap(trio.current_time())
        assert [rig.stat(name) for name in ("cx_active", "cx_idle_timeout", "cx_destroy_local")] == [0, 1, 1]
        await rig.get()
        clock.jump(60)  # and when no reaper came by in time
        await rig.get()
        assert [server.accepted, rig.stat("cx_idle_timeout")] == [3, 2]
        assert rig.memory.samples["cluster.c.upstream_cx_length_ms"].values == [60_000, 60_000]


@with_clock
async def test_no_idle_timeout(clock: MockClock) -> None:
    async with origin(answering(OK)) as server, Rig(server.address, idle_timeout=0) as rig:
        await rig.get()
        clock.jump(1e6)
        rig.cluster.reap(trio.current_time())
        await rig.get()
        assert server.accepted == 1


@with_clock
async def test_the_time_of_a_request_runs_from_its_end(clock: MockClock) -> None:
    async with origin(answering(OK)) as server, Rig(server.address) as rig:
        stream = await rig.cluster.open_stream()
        clock.jump(7)
        await stream.send_request(b"GET", b"/", b"h", Headers(), end_stream=True)
        clock.jump(0.25)
        assert await read_body(stream) == b"ok"
        stream.close()
        assert rig.memory.samples["cluster.c.external.upstream_rq_time"].values == [250]


# --- cancellation -----------------------------------------------------------------------------------------------------


class CancelAt(trio.abc.Instrument):
    """Cancels a task just before it runs for the nth time, or as soon as it has blocked for the nth time."""

    def __init__(self, step: int, *, blocked: bool) -> None:
        self.step = step
        self.blocked = blocked
        self.scope = trio.CancelScope()
        self.task: trio.lowlevel.Task | None = None

    def _count(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.step -= 1
            if self.step == 0:
                self.scope.cancel()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if not self.blocked:
            self._count(task)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.blocked:
            self._count(task)


async def one_exchange(rig: Rig) -> None:
    await rig.get()


async def with_a_body(rig: Rig) -> None:
    stream = await rig.cluster.open_stream()
    try:
        await stream.send_request(b"POST", b"/", b"h", Headers(), end_stream=False)
        await stream.send_data(b"x" * 10)
        await stream.send_end()
        await read_body(stream)
    finally:
        stream.close()


async def after_a_wait(rig: Rig) -> None:
    """Waits for the connection of another request, which ends well or badly meanwhile."""
    busy = await rig.cluster.open_stream()

    async def finish() -> None:
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
            try:
                if rig.stat("rq_total") % 2:
                    await exchange(busy)
            finally:
                busy.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(finish)
        await rig.get()


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("scenario", [one_exchange, with_a_body, after_a_wait])
def test_cancelled_anywhere_nothing_leaks(scenario: Callable[[Rig], Awaitable[None]], blocked: bool) -> None:
    async def run(step: int) -> bool:
        canceller = CancelAt(step, blocked=blocked)
        trio.lowlevel.add_instrument(canceller)
        async with (
            origin(answering(OK)) as server,
            Rig(server.address, breaker={"max_connections": 1}) as rig,
        ):
            with trio.fail_after(10), canceller.scope:
                canceller.task = trio.lowlevel.current_task()
                await scenario(rig)
            canceller.task = None
            idle = rig.stat("cx_active")
            assert rig.in_use() in (
                {},
                {"CONNECTIONS": idle, "CX_ACTIVE": idle, "cx_active": idle},
            )
            with trio.fail_after(10):
                assert await rig.get() == b"ok"  # and it still works
            rig.cluster.close()
            assert rig.in_use() == {}
            caught.append(canceller.scope.cancelled_caught)
            return canceller.step <= 0  # it came that far

    caught: list[bool] = []
    while trio.run(run, len(caught) + 1):
        assert len(caught) < 100
    assert len(caught) > 2
    assert any(caught)


@run_trio
async def test_a_cancelled_wait_is_counted() -> None:
    async with origin(silent) as server, Rig(server.address, breaker={"max_connections": 1}) as rig:
        stream = await rig.cluster.open_stream()
        with trio.move_on_after(0.01):
            await rig.cluster.open_stream()
        assert [rig.stat("rq_cancelled"), rig.stat("rq_pending_active")] == [1, 0]
        stream.close()
        assert rig.in_use() == {}


# --- several workers --------------------------------------------------------------------------------------------------

WORKERS, EACH, LIMIT = 3, 4, 5


class SharedTables:
    """Both tables in shared memory, as worker `writer` sees them."""

    def __init__(self, hosts_fd: int, clusters_fd: int, writer: int) -> None:
        self.hosts = TableWriter(hosts_fd, writer)
        self.clusters = TableWriter(clusters_fd, writer)


def worker(address: SocketAddress, tables: SharedTables, report: int, go: int) -> None:
    """Opens streams until it is refused or has `EACH`, reports how many, and closes them when told to."""

    async def main() -> None:
        config = ClusterConfig("c", "STATIC", breaker=CircuitBreaker(max_requests=LIMIT))
        cluster = Cluster(config, endpoints(address), MemoryStats(), tables, seed=0)
        streams: list[UpstreamStream] = []

        async def attempt() -> None:
            try:
                streams.append(await cluster.open_stream())
            except ProxyError as error:
                if error.flag is not Flag.UPSTREAM_OVERFLOW:
                    raise

        async with trio.open_nursery() as nursery:
            for _ in range(EACH):
                nursery.start_soon(attempt)
        os.write(report, bytes([len(streams)]))
        os.read(go, 1)
        for stream in streams:
            stream.close()
        cluster.close()

    trio.run(main)


def test_max_requests_holds_over_all_workers() -> None:
    hosts_fd = create_table("hosts", rows=1, columns=len(HostColumn), gauges=HOST_GAUGES, writers=WORKERS)
    clusters_fd = create_table("clusters", rows=1, columns=len(ClusterColumn), gauges=CLUSTER_GAUGES, writers=WORKERS)
    report_end, report = os.pipe()
    go, go_end = os.pipe()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        address = SocketAddress(*listener.getsockname())
        pids = []
        for writer in range(WORKERS):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    worker(address, SharedTables(hosts_fd, clusters_fd, writer), report, go)
                    status = 0
                finally:
                    os._exit(status)
            pids.append(pid)
        os.close(report)
        counts = b"".join(os.read(report_end, 1) for _ in range(WORKERS))
        opened = sum(counts)
        totals = TableReader(clusters_fd)
        in_use = [totals.total(0, column) for column in ClusterColumn]
        os.write(go_end, b"x" * WORKERS)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert statuses == [0] * WORKERS
    assert 1 <= opened <= LIMIT
    assert in_use[ClusterColumn.REQUESTS] == opened
    assert in_use[ClusterColumn.PENDING] == 0
    assert [totals.total(0, column) for column in ClusterColumn] == [0] * len(ClusterColumn)
    assert TableReader(hosts_fd).total(0, HostColumn.RQ_TOTAL) == opened
    for fd in (hosts_fd, clusters_fd, report_end, go, go_end):
        os.close(fd)
