"""Clusters follow where proxies like this one are: the hosts of the local cluster."""

from __future__ import annotations

from proxy.config.cluster import Cluster, ClusterEndpoints, Endpoints, LocalityHosts
from proxy.config.lb import LoadBalancing, ZoneAware
from proxy.stats import MemoryStats
from proxy.upstream.load_balancer_context import ANYBODY
from proxy.upstream.manager import ClusterManager
from proxy.upstream.tables import MemoryTables
from tests.unit.upstream.balancing import host, locality
from tests.unit.upstream.test_manager import finish


def endpoints(version: int, *zones_of_proxies: str) -> Endpoints:
    """Two hosts in zone a, four in zone b; a proxy in each of these zones."""
    hosts = (locality(0, host(1), host(2), zone="a"), locality(0, *map(host, (3, 4, 5, 6)), zone="b"))
    proxies: list[LocalityHosts] = [
        locality(0, host(10 + number), zone=zone) for number, zone in enumerate(zones_of_proxies)
    ]
    return Endpoints(
        version,
        {"c": ClusterEndpoints("c", 1, hosts), "proxies": ClusterEndpoints("proxies", version, tuple(proxies), 1)},
    )


def test_clusters_follow_the_local_one() -> None:
    stats = MemoryStats()
    manager = ClusterManager(stats, MemoryTables())
    aware = LoadBalancing(zone_aware=ZoneAware("proxies", ("", "a", "")))
    configs = (Cluster("c", "STATIC", lb=aware), Cluster("proxies", "STATIC"))
    first = endpoints(1, "a", "b")
    manager.commit(finish(manager.prepare(configs, first, [])), first)
    assert zones_of(manager) == {"a", "b"}
    manager.update_endpoints(endpoints(2, "a", "b", "b", "b"))
    assert zones_of(manager) == {"a"}
    manager.update_endpoints(endpoints(3, "a", "b"))
    assert zones_of(manager) == {"a", "b"}
    assert stats.value("cluster.c.lb_zone_routing_all_directly") == 100
    assert stats.value("cluster.proxies.lb_recalculate_zone_structures") == 0


def zones_of(manager: ClusterManager) -> set[str]:
    """Where requests go."""
    cluster = manager.get("c")
    assert cluster is not None
    picked = (cluster.balancer.choose(ANYBODY).pick() for _ in range(100))
    return {"a" if one.slot < 3 else "b" for one in picked if one is not None}
