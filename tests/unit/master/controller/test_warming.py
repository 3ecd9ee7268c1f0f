"""What a start waits for."""

from __future__ import annotations

import msgspec
import trio

from master.controller.warming import warm
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Cluster, ClusterEndpoints, Endpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.config.health_check import EndpointCheck, TcpCheck
from proxy.upstream.host_status import Checked, HostStatus
from proxy.upstream.tables import MemoryTables
from tests.kit.config import bootstrap, compiled
from tests.kit.trio import run_trio
from tests.unit.upstream.health.rig import check

HOSTS = tuple(Host(slot, SocketAddress("127.0.0.1", 80 + slot)) for slot in range(2))
UNCHECKED = Host(7, SocketAddress("127.0.0.1", 90), check=EndpointCheck(disabled=True))


def config(*, checks: bool) -> CompiledConfig:
    cluster = Cluster("c", "STATIC", health_check=check(TcpCheck(), timeout=3.0) if checks else None)
    return msgspec.structs.replace(compiled(bootstrap()), clusters=(cluster,))


def endpoints() -> Endpoints:
    return Endpoints(1, {"c": ClusterEndpoints("c", 1, (LocalityHosts(0, (*HOSTS, UNCHECKED)),))})


@run_trio(virtual_time=True)
async def test_nobody_is_waited_for_who_is_not_checked() -> None:
    await warm(config(checks=False), endpoints, MemoryTables().hosts)
    assert trio.current_time() == 0


@run_trio(virtual_time=True)
async def test_the_first_verdicts_are_waited_for() -> None:
    tables = MemoryTables()
    status = HostStatus(tables, 0, checks=True, ejects=False)

    async def find_out() -> None:
        for host in HOSTS:
            await trio.sleep(1)
            status.set_checked(host, Checked.FAILED_ACTIVE_HC)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(find_out)
        await warm(config(checks=True), endpoints, tables.hosts)
        assert 2 <= trio.current_time() < 2.1


@run_trio(virtual_time=True)
async def test_but_not_for_ever() -> None:
    await warm(config(checks=True), endpoints, MemoryTables().hosts)
    assert 4 <= trio.current_time() < 4.1
