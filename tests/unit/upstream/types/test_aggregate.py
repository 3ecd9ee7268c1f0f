"""Several clusters as one: whose host a request gets."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio

from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.cluster import ClusterEndpoints, Endpoints, HealthStatus, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.errors import ProxyError
from proxy.http.stream_info import StreamInfo
from proxy.stats import MemoryStats
from proxy.upstream.manager import ClusterManager
from proxy.upstream.tables import MemoryTables
from tests.kit.trio import run_trio
from tests.unit.upstream.rig import OK, answering, origin
from tests.unit.upstream.test_manager import finish

UP: HealthStatus = "HEALTHY"
DOWN: HealthStatus = "UNHEALTHY"


def endpoints(name: str, *levels: tuple[HealthStatus, ...], version: int = 1) -> ClusterEndpoints:
    """Hosts are called after their cluster and priority: `a0`."""
    return ClusterEndpoints(
        name,
        version,
        tuple(
            LocalityHosts(
                priority,
                tuple(
                    Host(0, SocketAddress("10.0.0.1", number + 1), f"{name}{priority}", 1, (), status)
                    for number, status in enumerate(statuses)
                ),
            )
            for priority, statuses in enumerate(levels)
        ),
    )


class Rig:
    def __init__(self, *clusters: ClusterEndpoints, **aggregates: tuple[str, ...]) -> None:
        self.stats = MemoryStats()
        self.manager = ClusterManager(self.stats, MemoryTables())
        configs = [ClusterConfig(each.cluster, "STATIC") for each in clusters]
        configs += [ClusterConfig(name, "AGGREGATE", members=members) for name, members in aggregates.items()]
        self.endpoints = Endpoints(1, {each.cluster: each for each in clusters})
        self.manager.commit(finish(self.manager.prepare(configs, self.endpoints, [])), self.endpoints)

    def update(self, cluster: ClusterEndpoints) -> None:
        self.endpoints = Endpoints(cluster.version, self.endpoints.clusters | {cluster.cluster: cluster})
        self.manager.update_endpoints(self.endpoints)

    def shares(self, name: str = "all", picks: int = 600) -> dict[str, float]:
        cluster = self.manager.now[name]
        pools = [cluster.pick() for _ in range(picks)]
        counted = Counter("" if pool is None else pool.host.hostname for pool in pools)
        return {host: round(count / picks, 1) for host, count in counted.items()}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (((UP,), (UP,)), ((UP,),), {"a0": 1.0}),
        (((DOWN,), (UP,)), ((UP,),), {"a1": 1.0}),
        (((DOWN,), (DOWN,)), ((UP,),), {"b0": 1.0}),
        (((UP, DOWN),), ((UP,),), {"a0": 0.7, "b0": 0.3}),
        (((UP, DOWN), ()), ((), (UP,)), {"a0": 0.7, "b1": 0.3}),
        (((DOWN,),), ((DOWN,),), {"a0": 0.5, "b0": 0.5}),
        ((), ((UP,),), {"b0": 1.0}),
        ((), (), {"": 1.0}),
    ],
)
@run_trio
async def test_load_spills_from_one_cluster_to_the_next(a: Any, b: Any, expected: dict[str, float]) -> None:
    assert Rig(endpoints("a", *a), endpoints("b", *b), all=("a", "b")).shares() == expected


@run_trio
async def test_it_follows_its_members() -> None:
    rig = Rig(endpoints("a", (UP,)), endpoints("b", (UP,)), all=("a", "b"))
    assert rig.shares() == {"a0": 1.0}
    rig.update(endpoints("a", (DOWN,), version=2))
    assert rig.shares() == {"b0": 1.0}
    rig.update(endpoints("a", (UP,), version=3))
    assert rig.shares() == {"a0": 1.0}


@run_trio
async def test_another_host_may_be_another_clusters() -> None:
    rig = Rig(endpoints("a", (UP, DOWN)), endpoints("b", (UP,)), all=("a", "b"))
    cluster = rig.manager.now["all"]
    found = [cluster.pick_another(lambda host: host.hostname == "a0", 50) for _ in range(20)]
    assert {pool.host.hostname for pool in found if pool is not None} == {"b0"}
    rejected = cluster.pick_another(lambda host: True, 3)
    assert rejected is not None


@run_trio
async def test_connections_count_where_their_host_belongs() -> None:
    async with origin(answering(OK)) as server:
        assert isinstance(server.address, SocketAddress)
        there = ClusterEndpoints("b", 1, (LocalityHosts(0, (Host(0, server.address),)),))
        rig = Rig(endpoints("a", (DOWN,)), there, all=("a", "b"))
        connection = await rig.manager.now["all"].open_connection(StreamInfo(trio.current_time()))
        assert rig.stats.value("cluster.b.upstream_cx_active") == 1
        assert rig.stats.value("cluster.all.upstream_cx_active") == 0
        connection.close(remote=False)
        assert rig.stats.value("cluster.b.upstream_cx_active") == 0


@run_trio
async def test_nobody_has_a_host() -> None:
    cluster = Rig(endpoints("a"), all=("a",)).manager.now["all"]
    with pytest.raises(ProxyError, match="no_healthy_upstream"):
        await cluster.open_stream()
    with pytest.raises(ProxyError, match="no_healthy_upstream"):
        await cluster.open_connection(StreamInfo(0.0))
    assert cluster.stats.cx_none_healthy.value == 2  # type: ignore[attr-defined]
