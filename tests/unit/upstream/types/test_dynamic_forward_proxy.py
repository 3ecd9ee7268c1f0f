"""The host of a request is the one that its authority names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import trio
import trio.testing

from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.cluster import ClusterEndpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.config.dns_cache import DnsCache
from proxy.http.stream_info import StreamInfo
from proxy.stats import MemoryStats
from proxy.upstream.background import Background
from proxy.upstream.load_balancer_context import ANYBODY, LoadBalancerContext
from proxy.upstream.tables import MemoryTables
from proxy.upstream.types.dynamic_forward_proxy import DynamicForwardProxyCluster
from tests.kit.trio import run_trio

ENDPOINTS = ClusterEndpoints("c", 1, (LocalityHosts(0, (Host(5, SocketAddress("0.0.0.0", 0)),)),))


def asking(authority: bytes) -> LoadBalancerContext:
    info = StreamInfo(0.0)
    info.request = cast(Any, SimpleNamespace(authority=authority))
    return LoadBalancerContext(info=info)


@run_trio
async def test_hosts_are_there_once_they_are_loaded() -> None:
    background = Background()
    config = ClusterConfig("c", "DYNAMIC_FORWARD_PROXY", dns_cache=DnsCache("x", preresolve=(("127.0.0.7", 1),)))
    cluster = DynamicForwardProxyCluster(
        config, ENDPOINTS, MemoryStats(), MemoryTables(), seed=1, background=background
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(background.run)
        assert cluster.pick(asking(b"127.0.0.9")) is None
        assert cluster.pick(ANYBODY) is None
        await cluster.load(b"127.0.0.9")
        await cluster.load(b"[::1]:81")
        for authority, address in ((b"127.0.0.9:80", "127.0.0.9:80"), (b"[::1]:81", "[::1]:81")):
            pool = cluster.pick(asking(authority))
            assert pool is not None
            assert (str(pool.host.address), pool.host.hostname, pool.host.slot) == (address, authority.decode(), 5)
            assert cluster.pick(asking(authority)) is pool
        assert cluster.pick(asking(b"127.0.0.9:82")) is None
        cluster.reap(trio.current_time())  # asks for the names of the configuration
        await trio.testing.wait_all_tasks_blocked()
        assert cluster.pick(asking(b"127.0.0.7:1")) is not None
        cluster.retire()
        await trio.testing.wait_all_tasks_blocked()
        assert cluster.pick(asking(b"127.0.0.9")) is None
        assert not cluster.draining
        nursery.cancel_scope.cancel()
