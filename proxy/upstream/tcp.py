"""A connection of its own to an upstream host, for one downstream connection: never pooled, never reused."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.cluster import Host
from proxy.config.common import Address
from proxy.net.peer import address_of
from proxy.upstream import failures
from proxy.upstream.circuit_breaker import CircuitBreaker
from proxy.upstream.connect import ConnectFailed
from proxy.upstream.happy_eyeballs import connect_to
from proxy.upstream.outlier.monitor import HostMonitor
from proxy.upstream.stats import ClusterStats
from proxy.upstream.tables import HostColumn, Table

if TYPE_CHECKING:
    from proxy.upstream.announced import Manner

_RESET = struct.pack("ii", 1, 0)


class TcpConnection:
    """`open` it, use `sock`, and `close` it in any case. It counts as a connection and as a request of its cluster, as
    in Envoy's TCP pool; whoever makes one has claimed the connection. `forget` is called once, when it is over;
    `monitor` hears whether there was one.
    """

    __slots__ = (
        "_began",
        "_breaker",
        "_config",
        "_forget",
        "_hosts",
        "_monitor",
        "_open",
        "_stats",
        "_tls",
        "host",
        "on_abandoned",
        "sock",
    )

    sock: socket.socket

    def __init__(
        self,
        host: Host,
        config: ClusterConfig,
        stats: ClusterStats,
        breaker: CircuitBreaker,
        hosts: Table,
        forget: Callable[[TcpConnection], None],
        tls: Manner | None = None,
        monitor: HostMonitor | None = None,
    ) -> None:
        self.host = host
        self._config = config
        self._stats = stats
        self._breaker = breaker
        self._hosts = hosts
        self._forget = forget
        self._tls = tls
        self._monitor = monitor
        self._began = trio.current_time()
        self._open = False
        self.on_abandoned: Callable[[], None] | None = None

    @property
    def stats(self) -> ClusterStats:
        return self._stats

    @property
    def limit(self) -> int:
        """Bytes that may wait for this connection."""
        return self._config.per_connection_buffer_limit_bytes

    @property
    def remote(self) -> Address:
        """The address of the host that it goes to."""
        return address_of(self.sock, peer=True) if self.host.additional else self.host.address

    async def open(self) -> None:
        """Connect, within the breakers' limits and the connect timeout. Raises `ProxyError` (UO, UF)."""
        if not self._breaker.claim_pending():
            self._breaker.release_connection()
            self._forget(self)
            raise failures.reset("overflow")
        stats = self._stats
        stats.rq_pending_total.inc()
        stats.rq_pending_active.add(1)
        stats.cx_total.inc()
        stats.cx_active.add(1)
        self._count(HostColumn.CX_TOTAL)
        self._count(HostColumn.CX_ACTIVE)
        try:
            self.sock = await connect_to(self.host, self._config, self._tls, self._charge_another_attempt)
        except ConnectFailed as failed:
            stats.charge_connect_failure(failed)
            self._count(HostColumn.CX_CONNECT_FAIL)
            stats.rq_pending_failure_eject.inc()
            if self._monitor is not None and not failed.local:
                self._monitor.failed()
            self._end(remote=failed.remote, with_active_rq=False)
            raise failures.connect_failed(failed) from failed
        except trio.Cancelled:
            stats.rq_cancelled.inc()
            self._end(remote=False, with_active_rq=False)
            raise
        except BaseException:
            self._end(remote=False, with_active_rq=False)
            raise
        finally:
            stats.rq_pending_active.add(-1)
            self._breaker.release_pending()
        self._open = True
        if self._monitor is not None:
            self._monitor.served()
        stats.cx_connect_ms.record(self._milliseconds())
        stats.rq_total.inc()
        stats.rq_active.add(1)
        self._breaker.add_request()
        self._count(HostColumn.RQ_TOTAL)
        self._count(HostColumn.RQ_ACTIVE)

    def close(self, *, remote: bool, reset: bool = False, with_active_rq: bool = True) -> None:
        """Close it. `remote`: the host ended it. `reset`: the host sees a reset instead of an end. `with_active_rq`:
        what it was for is not over. May come twice."""
        if not self._open:
            return
        self._open = False
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        trio.lowlevel.notify_closing(self.sock)
        self.sock.close()
        self._stats.rq_active.add(-1)
        self._breaker.release_request()
        self._count(HostColumn.RQ_ACTIVE, -1)
        self._end(remote=remote, with_active_rq=with_active_rq)

    def abandon(self) -> None:
        """Its host has failed: whoever uses it (`on_abandoned`) is to close it."""
        if self.on_abandoned is not None:
            self.on_abandoned()

    def _end(self, *, remote: bool, with_active_rq: bool) -> None:
        self._stats.cx_active.add(-1)
        self._count(HostColumn.CX_ACTIVE, -1)
        self._stats.charge_destroy(remote=remote, with_active_rq=with_active_rq, length_ms=self._milliseconds())
        self._breaker.release_connection()
        self._forget(self)

    def _charge_another_attempt(self) -> None:
        self._stats.cx_total.inc()
        self._count(HostColumn.CX_TOTAL)

    def _count(self, column: HostColumn, amount: int = 1) -> None:
        self._hosts.add(self.host.slot, column, amount)

    def _milliseconds(self) -> int:
        return round((trio.current_time() - self._began) * 1000)
