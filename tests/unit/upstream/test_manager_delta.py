"""A change of one cluster's hosts among a thousand: what a worker does for it, counted."""

from __future__ import annotations

import msgspec
import pytest

from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.cluster import ClusterEndpoints, Endpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.config.endpoints_delta import EndpointsDelta, Fresh
from proxy.stats import MemoryStats
from proxy.upstream import host_set
from proxy.upstream.cluster import Cluster
from proxy.upstream.manager import ClusterManager
from proxy.upstream.tables import MemoryTables
from tests.unit.upstream.test_manager import RowCount, finish

CLUSTERS, HOSTS = 1_000, 3


def cluster(number: int, version: int, *, port: int = 80) -> ClusterEndpoints:
    hosts = tuple(Host(number * HOSTS + index, SocketAddress(f"10.0.0.{index}", port)) for index in range(HOSTS))
    return ClusterEndpoints(f"c{number}", version, (LocalityHosts(0, hosts),), number)


def delta(version: int, *clusters: ClusterEndpoints) -> EndpointsDelta:
    fresh = {each.cluster: Fresh(each.version, msgspec.Raw(msgspec.msgpack.encode(each))) for each in clusters}
    return EndpointsDelta(1, version, fresh)


def test_nothing_else_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = MemoryTables()
    tables.hosts = RowCount()
    manager = ClusterManager(MemoryStats(), tables)
    endpoints = Endpoints(1, {f"c{number}": cluster(number, 1) for number in range(CLUSTERS)})
    configs = [ClusterConfig(name, "STATIC") for name in endpoints.clusters]
    manager.commit(finish(manager.prepare(configs, endpoints, [])), endpoints)
    touched: list[str] = []
    update, of = Cluster.update_endpoints, host_set.HostSet.of

    def counted(self: Cluster, endpoints: ClusterEndpoints | None) -> None:
        touched.append(self.config.name)
        update(self, endpoints)

    built: list[object] = []

    def building(*arguments: object) -> object:
        built.append(arguments)
        return of(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Cluster, "update_endpoints", counted)
    monkeypatch.setattr(host_set.HostSet, "of", building)
    manager.change_endpoints(delta(2, changed := cluster(7, 2, port=81)))
    assert touched == ["c7"]
    assert len(built) == 1
    # The next delta has it too, as whoever starts then needs it; whoever has it does nothing.
    manager.change_endpoints(delta(3, changed, cluster(9, 3, port=81)))
    assert touched == ["c7", "c9"]
    picked = manager.now["c7"].pick()
    assert picked is not None
    assert str(picked.host.address).endswith(":81")


def test_a_cluster_that_is_not_there_is_nobodys() -> None:
    manager = ClusterManager(MemoryStats(), MemoryTables())
    manager.change_endpoints(delta(2, cluster(1, 2)))
    assert manager.now == {}
