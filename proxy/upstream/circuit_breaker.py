"""A cluster's limits over all workers (`CircuitBreakers`)."""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.config.cluster import CircuitBreaker as Limits
from proxy.upstream.stats import ClusterStats
from proxy.upstream.tables import ClusterColumn, HostColumn, Table


class Columns(NamedTuple):
    """What is counted of one priority."""

    connections: ClusterColumn
    pending: ClusterColumn
    requests: ClusterColumn
    retries: ClusterColumn
    pools: ClusterColumn


DEFAULT: Final = Columns(
    ClusterColumn.CONNECTIONS,
    ClusterColumn.PENDING,
    ClusterColumn.REQUESTS,
    ClusterColumn.RETRIES,
    ClusterColumn.POOLS,
)
HIGH: Final = Columns(
    ClusterColumn.HIGH_CONNECTIONS,
    ClusterColumn.HIGH_PENDING,
    ClusterColumn.HIGH_REQUESTS,
    ClusterColumn.HIGH_RETRIES,
    ClusterColumn.HIGH_POOLS,
)

UNLIMITED: Final = 2**64 - 1
"""As many pools as there may be where nobody says."""


class CircuitBreaker:
    """Those of one priority. Claims first, on the shared clusters table: the own word is raised, then withdrawn if the
    sum passes the limit.

    Each refusal is counted where Envoy counts it.
    """

    __slots__ = ("_columns", "_limits", "_row", "_stats", "_table")

    def __init__(self, limits: Limits, table: Table, row: int, stats: ClusterStats, *, high: bool = False) -> None:
        self._limits = limits
        self._table = table
        self._row = row
        self._stats = stats
        self._columns = HIGH if high else DEFAULT

    def claim_connection(self, *, force: bool) -> bool:
        """Claim one connection. `force` goes beyond the limit: a pool without any connection still gets one."""
        if self._table.claim(self._row, self._columns.connections, self._limits.max_connections):
            return True
        self._stats.cx_overflow.inc()
        if force:
            self._table.add(self._row, self._columns.connections, 1)
        return force

    def release_connection(self) -> None:
        self._table.release(self._row, self._columns.connections)

    def claim_of_host(self) -> bool:
        """Claim one of the host's own connections for one that the cluster has granted; gone with that."""
        return True

    def claim_pending(self) -> bool:
        """Claim a place among the requests that wait for a connection."""
        if self._table.claim(self._row, self._columns.pending, self._limits.max_pending_requests):
            return True
        self._stats.rq_pending_overflow.inc()
        return False

    def release_pending(self) -> None:
        self._table.release(self._row, self._columns.pending)

    def claim_request(self) -> bool:
        """Claim a place among the requests that have a connection."""
        if self.try_claim_request():
            return True
        self._stats.rq_active_overflow.inc()
        return False

    def try_claim_request(self) -> bool:
        """The same by somebody who will ask once more: a refusal is not counted."""
        return self._table.claim(self._row, self._columns.requests, self._limits.max_requests)

    def add_request(self) -> None:
        """Count a TCP connection among the requests. It has a limit of its own, so this one does not stop it."""
        self._table.add(self._row, self._columns.requests, 1)

    def release_request(self) -> None:
        self._table.release(self._row, self._columns.requests)

    @property
    def requests(self) -> int:
        """How many there are."""
        return self._table.total(self._row, self._columns.requests)

    def claim_retry(self) -> bool:
        """Claim a place among the retries that wait or run."""
        if self._table.claim(self._row, self._columns.retries, self._max_retries()):
            return True
        self._stats.rq_retry_overflow.inc()
        return False

    def release_retry(self) -> None:
        self._table.release(self._row, self._columns.retries)

    def _max_retries(self) -> int:
        budget = self._limits.retry_budget
        if budget is None:
            return self._limits.max_retries
        total, columns = self._table.total, self._columns
        active = total(self._row, columns.requests) + total(self._row, columns.pending)
        return max(int(budget.percent / 100.0 * active), budget.least)

    @property
    def counts_pools(self) -> bool:
        """Whether anybody asks how many pools there are."""
        return self._limits.max_connection_pools is not None or self._limits.track_remaining

    def claim_pool(self) -> bool:
        """Claim one pool of connections; a refusal is the caller's to count, who may make room."""
        limit = self._limits.max_connection_pools
        return self._table.claim(self._row, self._columns.pools, UNLIMITED if limit is None else limit)

    def release_pool(self) -> None:
        self._table.release(self._row, self._columns.pools)


class HostBreaker(CircuitBreaker):
    """That of a cluster, for the connections to one host, of which there may be `most` (`per_host_thresholds`); they
    count together whatever their requests' priority is.
    """

    __slots__ = ("_host", "_hosts", "_most")

    def __init__(self, breaker: CircuitBreaker, hosts: Table, host: int) -> None:
        self._limits, self._table, self._row = breaker._limits, breaker._table, breaker._row
        self._stats, self._columns = breaker._stats, breaker._columns
        self._hosts = hosts
        self._host = host
        most = self._limits.max_connections_per_host
        self._most = UNLIMITED if most is None else most

    def claim_connection(self, *, force: bool) -> bool:
        if self._hosts.claim(self._host, HostColumn.CONNECTIONS, self._most):
            if super().claim_connection(force=force):
                return True
            self._hosts.release(self._host, HostColumn.CONNECTIONS)
            return False
        self._stats.cx_overflow.inc()
        if force:
            self._hosts.add(self._host, HostColumn.CONNECTIONS, 1)
            self._table.add(self._row, self._columns.connections, 1)
        return force

    def claim_of_host(self) -> bool:
        if self._hosts.claim(self._host, HostColumn.CONNECTIONS, self._most):
            return True
        self._stats.cx_overflow.inc()
        return False

    def release_connection(self) -> None:
        super().release_connection()
        self._hosts.release(self._host, HostColumn.CONNECTIONS)


def active_requests(*breakers: CircuitBreaker) -> int:
    """How many there are of all priorities."""
    return sum(breaker.requests for breaker in breakers)
