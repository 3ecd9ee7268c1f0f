"""Membership gauges."""

from __future__ import annotations

import pytest

from proxy.config.cluster import Cluster, ClusterEndpoints, Endpoints
from proxy.config.common import SocketAddress
from proxy.stats import MemoryStats
from proxy.upstream.membership import Membership
from tests.unit.upstream.rig import endpoints

A, B = SocketAddress("127.0.0.1", 1), SocketAddress("127.0.0.1", 2)


def of(cluster: ClusterEndpoints) -> Endpoints:
    return Endpoints(cluster.version, {"c": cluster})


@pytest.mark.parametrize(("kind", "weight"), [("STATIC", 0), ("STRICT_DNS", 5)])
def test_hosts_that_come_and_go(kind: str, weight: int) -> None:
    stats = MemoryStats()
    membership = Membership((Cluster(0, "c", kind),), stats)  # type: ignore[arg-type]
    seen = []
    for update in (endpoints(A), endpoints(A, version=2), endpoints(A, B, weights=(1, 5), version=3), endpoints()):
        membership.update(of(update))
        names = ("membership_total", "membership_healthy", "membership_change", "max_host_weight")
        seen.append([stats.value(f"cluster.c.{name}") for name in names])
    one = min(weight, 1)
    assert seen == [[1, 1, 1, one], [1, 1, 1, one], [2, 2, 2, weight], [0, 0, 3, 0]]
