"""Stats of gRPC calls: names that come from clients and upstreams are bounded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from proxy.config.route import ClusterAction
from proxy.filters.grpc_counters import CallCounters, GrpcCounters
from proxy.http.headers import Headers
from proxy.limits import MAX_GRPC_METHODS
from proxy.stats import MemoryStats


def exchange(cluster: str = "c", *, known: bool = True) -> Any:
    """What the counters look at."""
    entry = SimpleNamespace(route=SimpleNamespace(action=ClusterAction(cluster)), cluster_name=lambda request: cluster)
    clusters = {cluster: SimpleNamespace(config=SimpleNamespace(stat_name=cluster))} if known else {}
    return SimpleNamespace(route=entry, request=None, clusters=clusters)


def charge(counters: GrpcCounters, method: str, on: Any) -> None:
    cast(CallCounters, counters.of(on, ("s", method))).charge(Headers([(b"grpc-status", b"0")]))


def test_calls_of_too_many_methods_count_without_a_name() -> None:
    stats = MemoryStats()
    counters, on = GrpcCounters(stats), exchange()
    for number in range(MAX_GRPC_METHODS + 3):
        charge(counters, f"m{number}", on)
    charge(counters, "m0", on)
    assert stats.value("cluster.c.grpc.total") == 3
    assert stats.value("cluster.c.grpc.s.m0.total") == 2


def test_statuses_are_bounded() -> None:
    stats = MemoryStats()
    counters, on = GrpcCounters(stats), exchange()
    for number in range(1000):
        found = counters.of(on, None)
        assert found is not None
        found.charge(Headers([(b"grpc-status", b"%d" % number)]))
    assert stats.value("cluster.c.grpc.total") == 1000
    assert len(stats.words) < 40


def test_without_a_cluster_nothing_counts() -> None:
    counters = GrpcCounters(MemoryStats())
    assert counters.of(exchange(known=False), None) is None
    assert counters.of(SimpleNamespace(route=None), None) is None
