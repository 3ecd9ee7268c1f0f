"""What all pools have in common: the connections of one worker to one host, and what is counted of them."""

from __future__ import annotations

import abc
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from proxy.config.cluster import Cluster, Host
from proxy.config.common import Address
from proxy.errors import Flag, ProxyError
from proxy.net.peer import address_of
from proxy.route.host_predicates import is_canary
from proxy.upstream import failures
from proxy.upstream.circuit_breaker import CircuitBreaker
from proxy.upstream.connect import ConnectFailed
from proxy.upstream.judge import Judge
from proxy.upstream.outlier.monitor import HostMonitor
from proxy.upstream.stats import ClusterStats, Outcomes
from proxy.upstream.tables import HostColumn, Table

if TYPE_CHECKING:
    from proxy.upstream.stream import UpstreamStream


class Common(NamedTuple):
    """What pools are made of. `numbers` are for new connections; `monitor` hears what comes of requests, if anybody
    wants to know. `fast_failure` is called with a host that asks for no more requests.
    """

    host: Host
    config: Cluster
    stats: ClusterStats
    breaker: CircuitBreaker
    hosts: Table
    numbers: Iterator[int]
    monitor: HostMonitor | None = None
    fast_failure: Callable[[Host], None] | None = None


class Pool(abc.ABC):
    """Gives out streams."""

    def __init__(self, common: Common) -> None:
        self.host, self._config, self.stats, self._breaker, self._hosts, self._numbers = common[:6]
        self.monitor, self.fast_failure = common.monitor, common.fast_failure
        self.canary = is_canary(self.host)
        self._draining = False

    @property
    @abc.abstractmethod
    def empty(self) -> bool:
        """Nobody uses this pool, or waits for it, any more."""

    @property
    @abc.abstractmethod
    def unused(self) -> bool:
        """Every connection is idle, and nobody waits for one."""

    @abc.abstractmethod
    async def open(self, outcomes: Outcomes, judge: Judge | None = None) -> UpstreamStream:
        """A stream for one request; the caller closes it. Raises `ProxyError` (overflow, connection failure or
        timeout).

        Waiting for a busy connection has no limit of its own, as in Envoy: the route's timeout is the caller's.
        """

    def take(self, now: float, size: int = 0) -> Any:
        """For the express lane: a place for one request with a body of `size` bytes, which is an `Http1Connection` or
        an `ExpressStream`; None if there is none at once, or no more requests may run: `open` then tells why. Responses
        of canaries count elsewhere, so they are not had like this.
        """
        return None

    def put_back(self, upstream: Any, now: float) -> None:
        """The lane has its response: the place that `take` gave may serve another request."""
        raise AssertionError("nothing was taken")

    def go_on(self, upstream: Any, outcomes: Outcomes, *, sent_at: float, judge: Judge | None = None) -> UpstreamStream:
        """A stream whose whole request went out at `sent_at` in the place that `take` gave."""
        raise AssertionError("nothing was taken")

    @abc.abstractmethod
    def reap(self, now: float) -> None:
        """Close the connections that nobody used for the idle timeout."""

    @abc.abstractmethod
    def drain(self) -> None:
        """The host is gone from the cluster: idle connections close now, busy ones with their last request."""

    def charge_response(self, status: int) -> None:
        """The host has answered."""
        self.count(HostColumn.RQ_ERROR if status >= 500 else HostColumn.RQ_SUCCESS)

    def charge_unopened(self, error: ProxyError) -> None:
        """There was no stream. A limit of ours says nothing of the host."""
        self.count(HostColumn.RQ_ERROR)
        if self.monitor is not None and error.flag is not Flag.UPSTREAM_OVERFLOW:
            self.monitor.failed()

    def count(self, column: HostColumn, amount: int = 1) -> None:
        """Add to one of the host's words."""
        self._hosts.add(self.host.slot, column, amount)

    def _begin_request(self) -> None:
        """A request, which has been claimed, has its connection."""
        self.stats.rq_total.inc()
        self.stats.rq_active.add(1)
        self.count(HostColumn.RQ_TOTAL)
        self.count(HostColumn.RQ_ACTIVE)

    def _end_request(self) -> None:
        self._breaker.release_request()
        self.stats.rq_active.add(-1)
        self.count(HostColumn.RQ_ACTIVE, -1)

    def _begin_pending(self) -> None:
        """A request waits for a connection; bounded by max_pending_requests."""
        if not self._breaker.claim_pending():
            raise failures.reset("overflow")
        self.stats.rq_pending_total.inc()
        self.stats.rq_pending_active.add(1)

    def _end_pending(self) -> None:
        self.stats.rq_pending_active.add(-1)
        self._breaker.release_pending()

    def _begin_connection(self) -> None:
        """A connection, which has been claimed, is being opened."""
        self.stats.cx_total.inc()
        self.stats.cx_active.add(1)
        self.count(HostColumn.CX_TOTAL)
        self.count(HostColumn.CX_ACTIVE)

    def _charge_another_attempt(self) -> None:
        """An address of the host has not answered yet: another one is tried."""
        self.stats.cx_total.inc()
        self.count(HostColumn.CX_TOTAL)

    def _remote(self, sock: socket.socket) -> Address | None:
        """Which of the host's addresses this is, if it has several."""
        return address_of(sock, peer=True) if self.host.additional else None

    def _charge_connect_failure(self, failed: ConnectFailed) -> None:
        self.stats.charge_connect_failure(failed)
        self.count(HostColumn.CX_CONNECT_FAIL)

    def _charge_end(self, began: float, *, remote: bool, with_active_rq: bool = False) -> None:
        """A connection that began at `began` is over, or was never opened."""
        self.stats.cx_active.add(-1)
        self.count(HostColumn.CX_ACTIVE, -1)
        self.stats.charge_destroy(remote=remote, with_active_rq=with_active_rq, length_ms=milliseconds(began))


def milliseconds(since: float) -> int:
    return round((trio.current_time() - since) * 1000)
