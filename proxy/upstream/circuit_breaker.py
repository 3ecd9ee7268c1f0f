"""A cluster's limits over all workers (`CircuitBreakers.Thresholds`)."""

from __future__ import annotations

from proxy.config.cluster import CircuitBreaker as Limits
from proxy.upstream.stats import ClusterStats
from proxy.upstream.tables import ClusterColumn, Table

DEFAULT = (ClusterColumn.CONNECTIONS, ClusterColumn.PENDING, ClusterColumn.REQUESTS, ClusterColumn.RETRIES)
HIGH = (
    ClusterColumn.HIGH_CONNECTIONS,
    ClusterColumn.HIGH_PENDING,
    ClusterColumn.HIGH_REQUESTS,
    ClusterColumn.HIGH_RETRIES,
)
"""Connections, pending requests, requests, retries."""


class CircuitBreaker:
    """Those of one priority. Claims first, on the shared clusters table: the own word is raised, then withdrawn if the
    sum passes the limit.

    Each refusal is counted where Envoy counts it.
    """

    __slots__ = ("_connections", "_limits", "_pending", "_requests", "_retries", "_row", "_stats", "_table")

    def __init__(self, limits: Limits, table: Table, row: int, stats: ClusterStats, *, high: bool = False) -> None:
        self._limits = limits
        self._table = table
        self._row = row
        self._stats = stats
        self._connections, self._pending, self._requests, self._retries = HIGH if high else DEFAULT

    def claim_connection(self, *, force: bool) -> bool:
        """Claim one connection. `force` goes beyond the limit: a pool without any connection still gets one."""
        if self._table.claim(self._row, self._connections, self._limits.max_connections):
            return True
        self._stats.cx_overflow.inc()
        if force:
            self._table.add(self._row, self._connections, 1)
        return force

    def release_connection(self) -> None:
        self._table.release(self._row, self._connections)

    def claim_pending(self) -> bool:
        """Claim a place among the requests that wait for a connection."""
        if self._table.claim(self._row, self._pending, self._limits.max_pending_requests):
            return True
        self._stats.rq_pending_overflow.inc()
        return False

    def release_pending(self) -> None:
        self._table.release(self._row, self._pending)

    def claim_request(self) -> bool:
        """Claim a place among the requests that have a connection."""
        if self.try_claim_request():
            return True
        self._stats.rq_active_overflow.inc()
        return False

    def try_claim_request(self) -> bool:
        """The same by somebody who will ask once more: a refusal is not counted."""
        return self._table.claim(self._row, self._requests, self._limits.max_requests)

    def add_request(self) -> None:
        """Count a TCP connection among the requests. It has a limit of its own, so this one does not stop it."""
        self._table.add(self._row, self._requests, 1)

    def release_request(self) -> None:
        self._table.release(self._row, self._requests)

    def claim_retry(self) -> bool:
        """Claim a place among the retries that wait or run."""
        if self._table.claim(self._row, self._retries, self._limits.max_retries):
            return True
        self._stats.rq_retry_overflow.inc()
        return False

    def release_retry(self) -> None:
        self._table.release(self._row, self._retries)
