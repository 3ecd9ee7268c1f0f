"""When one host is checked, and what becomes known of it, on a virtual clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

import trio

from proxy.config.cluster import Host
from proxy.config.common import SocketAddress
from proxy.config.health_check import HealthCheck, TcpCheck
from proxy.stats import MemoryStats
from proxy.upstream.health.session import Session
from proxy.upstream.health.stats import HealthCheckStats
from proxy.upstream.health.verdicts import Event, Failure, Result
from proxy.upstream.host_status import Checked, HostStatus
from proxy.upstream.tables import MemoryTables
from tests.kit.trio import run_trio
from tests.unit.upstream.health.rig import check

HOST = Host(3, SocketAddress("127.0.0.1", 80))
NO = Result(Failure.ACTIVE)
HANGS = None
CONFIG = check(TcpCheck(), interval=10.0, timeout=3.0, healthy_threshold=1, unhealthy_threshold=1)


class Scripted:
    """A checker that gives one result after the other, and notes when it is asked; HANGS is none."""

    def __init__(self, results: Iterable[Result | None]) -> None:
        self._results: Iterator[Result | None] = iter(results)
        self.asked: list[float] = []
        self.abandoned = 0
        self.closed = False
        self.says: trio.Event | None = None

    async def check(self) -> Result:
        self.asked.append(trio.current_time())
        result = next(self._results, Result())
        if result is HANGS:
            await trio.sleep_forever()
        assert result is not None
        return result

    async def watch(self) -> Result:
        if self.says is None:
            await trio.sleep_forever()
        assert self.says is not None
        await self.says.wait()
        self.says = None
        return NO

    def abandon(self) -> None:
        self.abandoned += 1

    def close(self) -> None:
        self.closed = True


class Rig:
    """One worker's session; `status` is what all workers know."""

    def __init__(self, *results: Result | None, config: HealthCheck = CONFIG, status: HostStatus | None = None) -> None:
        self.status = status or shared()
        self.checker = Scripted(results)
        self.memory = MemoryStats()
        self.events: list[Event] = []
        self.session = Session(
            HOST,
            config,
            self.status,
            self.checker,
            HealthCheckStats(self.memory, "c"),
            Random(0),
            traffic=lambda: True,
            told=lambda host, events: self.events.extend(events),
        )

    async def run(self, seconds: float) -> list[float]:
        """For so long; when the host was asked, from the beginning on."""
        began = trio.current_time()
        with trio.move_on_after(seconds):
            await self.session.run()
        return [round(asked - began, 3) for asked in self.checker.asked]

    def flags(self) -> Checked:
        return self.status.checked(HOST) & ~Checked.HAD_TRAFFIC


def shared() -> HostStatus:
    return HostStatus(
        MemoryTables(), 0, checks=True, ejects=False, now=lambda: 1_000_000 + round(trio.current_time() * 1000)
    )


@run_trio(virtual_time=True, deadline=1000)
async def test_a_host_is_checked_at_once_and_then_every_interval() -> None:
    rig = Rig()
    assert await rig.run(35) == [0, 10, 20, 30]
    assert rig.flags() == Checked.KNOWN
    assert rig.memory.value("cluster.c.health_check.attempt") == rig.memory.value("cluster.c.health_check.success") == 4
    assert rig.checker.closed


@run_trio(virtual_time=True, deadline=1000)
async def test_the_interval_begins_with_the_result() -> None:
    rig = Rig(HANGS)
    assert await rig.run(30) == [0, 13, 23]
    assert rig.checker.abandoned == 1
    assert rig.memory.value("cluster.c.health_check.network_failure") == 1


@run_trio(virtual_time=True, deadline=1000)
async def test_a_timeout_says_so() -> None:
    rig = Rig(HANGS)
    await rig.run(5)
    assert rig.flags() == Checked.KNOWN | Checked.FAILED_ACTIVE_HC | Checked.ACTIVE_HC_TIMEOUT


@run_trio(virtual_time=True, deadline=1000)
async def test_the_first_check_comes_within_the_initial_jitter() -> None:
    rig = Rig(config=check(TcpCheck(), initial_jitter=5.0, interval=100.0))
    (first,) = await rig.run(50)
    assert 0 < first < 5


@run_trio(virtual_time=True, deadline=1000)
async def test_a_connection_that_speaks_between_two_checks_is_heard() -> None:
    rig = Rig()
    rig.checker.says = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.run, 30)
        await trio.sleep(4)
        assert not rig.flags() & Checked.FAILED_ACTIVE_HC
        rig.checker.says.set()
        await trio.sleep(1)
        assert rig.flags() & Checked.FAILED_ACTIVE_HC
    assert rig.checker.asked[1] - rig.checker.asked[0] == 14  # the interval begins anew
    assert rig.memory.value("cluster.c.health_check.attempt") == 3


@run_trio(virtual_time=True, deadline=1000)
async def test_an_error_of_ours_ends_no_session() -> None:
    rig = Rig()

    async def broken() -> Result:
        rig.checker.asked.append(trio.current_time())
        raise RuntimeError("on purpose")

    rig.checker.check = broken  # type: ignore[method-assign]
    assert await rig.run(15) == [0, 10]
    assert rig.flags() & Checked.FAILED_ACTIVE_HC


@run_trio(virtual_time=True, deadline=1000)
async def test_who_takes_over_goes_on_with_the_interval_and_with_the_verdict() -> None:
    config = check(TcpCheck(), interval=10.0, healthy_threshold=2, unhealthy_threshold=2)
    status = shared()
    await Rig(NO, config=config, status=status).run(4)
    rig = Rig(config=config, status=status)
    assert await rig.run(27) == [6, 16, 26]
    assert rig.flags() == Checked.KNOWN
    assert [event.first for event in rig.events] == [False]  # it took both successes


@run_trio(virtual_time=True, deadline=1000)
async def test_a_first_check_of_another_worker_is_waited_for() -> None:
    status = shared()
    status.begin_check(HOST)
    rig = Rig(status=status, config=check(TcpCheck(), unhealthy_interval=2.0, healthy_edge_interval=2.0, timeout=30.0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.run, 5)
        await trio.sleep(1)
        status.set_checked(HOST, Checked.FAILED_ACTIVE_HC)
    assert [round(asked, 3) for asked in rig.checker.asked] == [2, 4]


@run_trio(virtual_time=True, deadline=1000)
async def test_a_first_check_that_has_no_end_is_made_again() -> None:
    status = shared()
    status.begin_check(HOST)
    rig = Rig(status=status)
    assert await rig.run(5) == [3]


@run_trio(virtual_time=True, deadline=1000)
async def test_who_leaves_ends_the_check_that_runs() -> None:
    rig = Rig(HANGS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.run, 100)
        await trio.sleep(1)
        rig.session.leave()
    assert trio.current_time() == 3
    assert rig.flags() & Checked.KNOWN


@run_trio(virtual_time=True, deadline=1000)
async def test_who_stops_says_nothing_more() -> None:
    rig = Rig(HANGS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.run, 100)
        await trio.sleep(1)
        rig.session.stop()
    assert trio.current_time() == 1
    assert not rig.flags() & Checked.KNOWN
    assert rig.checker.closed


@run_trio(virtual_time=True, deadline=1000)
async def test_what_somebody_else_says_breaks_a_row_of_successes() -> None:
    config = check(TcpCheck(), interval=10.0, healthy_edge_interval=10.0, healthy_threshold=2, unhealthy_threshold=1)
    rig = Rig(NO, config=config)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.run, 35)
        await trio.sleep(15)  # after the first success
        rig.status.set_checked(HOST, Checked.FAILED_ACTIVE_HC | Checked.EXCLUDED_VIA_IMMEDIATE_HC_FAIL)
        await trio.sleep(10)
        assert rig.flags() & Checked.FAILED_ACTIVE_HC
    assert rig.flags() == Checked.KNOWN
