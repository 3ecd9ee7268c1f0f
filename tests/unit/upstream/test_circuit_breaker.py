"""Limits over all workers."""

from __future__ import annotations

from proxy.config.cluster import CircuitBreaker as Limits
from proxy.stats import MemoryStats
from proxy.upstream.circuit_breaker import CircuitBreaker
from proxy.upstream.stats import ClusterStats
from proxy.upstream.tables import ClusterColumn, MemoryTable


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
