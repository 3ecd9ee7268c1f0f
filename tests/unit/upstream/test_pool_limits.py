"""How many pools, and how many connections to one host, a cluster may have."""

from __future__ import annotations

import pytest
import trio

from proxy.errors import Flag, ProxyError
from proxy.http.stream_info import StreamInfo
from proxy.upstream.tables import ClusterColumn, HostColumn
from tests.kit.trio import run_trio
from tests.unit.upstream.rig import OK, Rig, answering, answering_once, origin, silent


@run_trio
async def test_a_pool_too_many_is_no_healthy_host() -> None:
    async with (
        origin(answering(OK)) as first,
        origin(answering(OK)) as second,
        Rig(first.address, second.address, breaker={"max_connection_pools": 1}) as rig,
    ):
        assert await rig.get() == b"ok"
        with pytest.raises(ProxyError) as caught:
            await rig.get()
        assert caught.value.flag is Flag.NO_HEALTHY_UPSTREAM
        assert (rig.stat("cx_pool_overflow"), rig.stat("cx_none_healthy")) == (1, 0)
        assert await rig.get() == b"ok"  # that of the first host again
        assert rig.tables.clusters.get(0, ClusterColumn.POOLS) == 1


@run_trio
async def test_a_pool_without_connections_makes_room() -> None:
    async with (
        origin(answering_once(OK)) as first,
        origin(answering(OK)) as second,
        Rig(first.address, second.address, breaker={"max_connection_pools": 1}) as rig,
    ):
        assert await rig.get() == b"ok"
        with trio.fail_after(5):
            while rig.stat("cx_active"):
                await trio.sleep(0.01)
                rig.cluster.reap(trio.current_time())
        assert await rig.get() == b"ok"
        assert rig.tables.clusters.get(0, ClusterColumn.POOLS) == 1
        rig.cluster.close()
        rig.cluster.reap(trio.current_time())
        assert rig.in_use() == {}


@run_trio
async def test_a_connection_of_tcp_counts_among_those_of_its_host() -> None:
    async with origin(silent) as only, Rig(only.address, breaker={"max_connections_per_host": 1}) as rig:
        info = StreamInfo(0.0)
        connection = await rig.cluster.open_connection(info)
        assert rig.host(HostColumn.CONNECTIONS) == 1
        with pytest.raises(ProxyError) as caught:
            await rig.cluster.open_connection(info)
        assert caught.value.flag is Flag.UPSTREAM_OVERFLOW
        assert rig.stat("cx_overflow") == 1
        connection.close(remote=False)
        assert rig.host(HostColumn.CONNECTIONS) == 0
        (await rig.cluster.open_connection(info)).close(remote=False)
        assert rig.in_use() == {}
