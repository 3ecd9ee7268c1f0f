"""Limits over all workers."""

from __future__ import annotations

import pytest

from proxy.config.cluster import CircuitBreaker as Limits
from proxy.config.cluster import RetryBudget
from proxy.stats import MemoryStats
from proxy.upstream.circuit_breaker import CircuitBreaker, HostBreaker
from proxy.upstream.stats import ClusterStats
from proxy.upstream.tables import ClusterColumn, HostColumn, MemoryTable


def test_each_limit_has_its_word_and_its_counter() -> None:
    table, memory = MemoryTable(), MemoryStats()
    limits = Limits(max_connections=1, max_pending_requests=2, max_requests=3)
    breaker = CircuitBreaker(limits, table, 7, ClusterStats(memory, "c"))
    claims = {
        ClusterColumn.CONNECTIONS: lambda: breaker.claim_connection(force=False),
        ClusterColumn.PENDING: breaker.claim_pending,
        ClusterColumn.REQUESTS: breaker.claim_request,
    }
    assert {column: [claim() for _ in range(5)].count(True) for column, claim in claims.items()} == {
        ClusterColumn.CONNECTIONS: 1,
        ClusterColumn.PENDING: 2,
        ClusterColumn.REQUESTS: 3,
    }
    assert [table.get(7, column) for column in claims] == [1, 2, 3]
    overflows = ("cx_overflow", "rq_pending_overflow", "rq_active_overflow")
    assert [memory.value(f"cluster.c.upstream_{name}") for name in overflows] == [4, 3, 2]
    breaker.release_connection()
    breaker.release_pending()
    breaker.release_request()
    assert all(claim() for claim in claims.values())


def test_a_forced_connection_is_counted_as_overflow_and_claimed() -> None:
    table, memory = MemoryTable(), MemoryStats()
    breaker = CircuitBreaker(Limits(max_connections=0), table, 0, ClusterStats(memory, "c"))
    assert breaker.claim_connection(force=True)
    assert table.get(0, ClusterColumn.CONNECTIONS) == memory.value("cluster.c.upstream_cx_overflow") == 1
    breaker.release_connection()
    assert table.get(0, ClusterColumn.CONNECTIONS) == 0


@pytest.mark.parametrize(
    ("budget", "active", "granted"),
    [
        (RetryBudget(), 0, 3),
        (RetryBudget(), 15, 3),
        (RetryBudget(), 20, 4),
        (RetryBudget(), 24, 4),
        (RetryBudget(50.0, 0), 1, 0),
        (RetryBudget(50.0, 0), 2, 1),
        (RetryBudget(0.0, 2), 100, 2),
        (RetryBudget(100.0, 0), 7, 7),
    ],
)
def test_a_budget_grows_with_what_waits_or_runs(budget: RetryBudget, active: int, granted: int) -> None:
    memory = MemoryStats()
    breaker = CircuitBreaker(Limits(retry_budget=budget), MemoryTable(), 0, ClusterStats(memory, "c"))
    for number in range(active):
        assert breaker.claim_pending() if number % 2 else breaker.claim_request()
    assert [breaker.claim_retry() for _ in range(10)].count(True) == granted
    assert memory.value("cluster.c.upstream_rq_retry_overflow") == 10 - granted


def test_connections_to_a_host_count_whatever_their_priority() -> None:
    clusters, hosts, memory = MemoryTable(), MemoryTable(), MemoryStats()
    limits, stats = Limits(max_connections=3, max_connections_per_host=2), ClusterStats(memory, "c")
    default = HostBreaker(CircuitBreaker(limits, clusters, 0, stats), hosts, 5)
    high = HostBreaker(CircuitBreaker(Limits(), clusters, 0, stats, high=True), hosts, 5)
    other = HostBreaker(CircuitBreaker(limits, clusters, 0, stats), hosts, 6)
    assert high.claim_connection(force=False)
    assert default.claim_connection(force=False)
    assert not default.claim_connection(force=False)
    assert default.claim_connection(force=True)
    assert other.claim_connection(force=False)
    assert not other.claim_connection(force=False)  # the cluster's limit
    assert [hosts.get(host, HostColumn.CONNECTIONS) for host in (5, 6)] == [3, 1]
    assert memory.value("cluster.c.upstream_cx_overflow") == 3
    for breaker in (default, default, high, other):
        breaker.release_connection()
    assert not any(hosts.get(host, HostColumn.CONNECTIONS) for host in (5, 6))
    assert not any(clusters.get(0, column) for column in ClusterColumn)
