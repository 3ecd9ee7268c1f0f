"""The connections of one worker to one host: `pool_core` decides, this file opens, checks, counts and closes."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from proxy.errors import ProxyError
from proxy.http.codec import ClientCodec
from proxy.http.stream_info import UpstreamConnection
from proxy.upstream import failures
from proxy.upstream.connect import ConnectFailed, agreed
from proxy.upstream.happy_eyeballs import connect_to
from proxy.upstream.http1_connection import Http1Connection
from proxy.upstream.http1_stream import Http1Stream
from proxy.upstream.judge import Judge
from proxy.upstream.pool import Common, Pool, milliseconds
from proxy.upstream.pool_core import OPEN, PoolCore
from proxy.upstream.stats import Outcomes

if TYPE_CHECKING:
    from proxy.upstream.announced import Manner


class Http1Pool(Pool):
    """HTTP/1.1: one request per connection at a time.

    `acquire` gives a connection with a claimed request; exactly one of `release` and `discard` takes it back.
    """

    def __init__(self, common: Common, tls: Manner | None, make_codec: Callable[[], ClientCodec]) -> None:
        super().__init__(common)
        self._tls = tls
        self._make_codec = make_codec
        self._core: PoolCore[Http1Connection] = PoolCore(common.breaker)

    @property
    def empty(self) -> bool:
        return self._core.opened == 0 and self._core.waiting == 0

    @property
    def unused(self) -> bool:
        return self._core.opened == len(self._core.idle) and self._core.waiting == 0

    async def open(self, outcomes: Outcomes, judge: Judge | None = None) -> Http1Stream:
        return Http1Stream(self, await self.acquire(), outcomes, judge)

    async def acquire(self) -> Http1Connection:
        """A connection for one request; raises as `open` does."""
        connection = self._take_idle(trio.current_time()) or await self._wait_pending()
        if not self._breaker.claim_request():
            self._put(connection)
            raise failures.reset("overflow")
        connection.requests += 1
        self._begin_request()
        return connection

    def take(self, now: float, size: int = 0) -> Http1Connection | None:
        """A free connection for one request, as `acquire` gives it."""
        connection = None if self.canary else self._take_idle(now)
        if connection is None:
            return None
        if not self._breaker.try_claim_request():
            self._core.put(connection)
            return None
        connection.requests += 1
        self._begin_request()
        return connection

    def release(self, connection: Http1Connection, now: float | None = None) -> None:
        """The exchange ended cleanly, at `now`: the connection may serve another request."""
        self._end_request()
        limit = self._config.max_requests_per_connection
        if limit and connection.requests >= limit:
            self.stats.cx_max_requests.inc()
            self._close(connection, remote=False)
        elif self._lives_too_long(connection, trio.current_time() if now is None else now):
            self.stats.cx_max_duration_reached.inc()
            self._close(connection, remote=False)
        else:
            self._put(connection, now)

    def put_back(self, upstream: Http1Connection, now: float) -> None:
        upstream.watch.on_ready = None
        self.release(upstream, now)

    def go_on(
        self, upstream: Http1Connection, outcomes: Outcomes, *, sent_at: float, judge: Judge | None = None
    ) -> Http1Stream:
        return Http1Stream.going_on(self, upstream, outcomes, sent_at=sent_at, judge=judge)

    def discard(self, connection: Http1Connection, *, remote: bool, with_active_rq: bool) -> None:
        """The exchange ended otherwise: the connection is closed. `remote`: the peer closed first."""
        self._end_request()
        self._close(connection, remote=remote, with_active_rq=with_active_rq)

    def reap(self, now: float) -> None:
        """As `Pool`; the others are not looked at."""
        for connection in self._core.take_oldest(lambda idle: self._idle_too_long(idle, now)):
            self._close_stale(connection, now)

    def _unasked(self, connection: Http1Connection) -> None:
        """Something came that no exchange waits for: an idle connection's end, or what no request asked for."""
        idle = self._core.idle
        if connection in idle and not connection.is_quiet():
            del idle[connection]
            self._close_stale(connection, trio.current_time())

    def drain(self) -> None:
        self._draining = True
        while connection := self._core.take_idle():
            self._close(connection, remote=False)

    def _take_idle(self, now: float) -> Http1Connection | None:
        """The most recently freed connection that is still good; stale ones on the way are closed."""
        while connection := self._core.take_idle():
            if self._still_good(connection, now):
                return connection
            self._close_stale(connection, now)
        return None

    def _idle_too_long(self, connection: Http1Connection, now: float) -> bool:
        timeout = self._config.idle_timeout
        return timeout > 0 and now - connection.idle_since >= timeout

    def _lives_too_long(self, connection: Http1Connection, now: float) -> bool:
        duration = self._config.max_connection_duration
        return duration > 0 and now - connection.created >= duration

    def _still_good(self, connection: Http1Connection, now: float) -> bool:
        if self._idle_too_long(connection, now) or self._lives_too_long(connection, now):
            return False
        return connection.is_quiet()

    def _close_stale(self, connection: Http1Connection, now: float) -> None:
        timed_out, aged = self._idle_too_long(connection, now), self._lives_too_long(connection, now)
        if timed_out:
            self.stats.cx_idle_timeout.inc()
        elif aged:
            self.stats.cx_max_duration_reached.inc()
        self._close(connection, remote=not (timed_out or aged))

    async def _wait_pending(self) -> Http1Connection:
        """Open a connection, or wait for one to come free; bounded by max_pending_requests."""
        self._begin_pending()
        try:
            return await (self._open() if self._core.may_open() else self._wait())
        except trio.Cancelled:
            self.stats.rq_cancelled.inc()
            raise
        finally:
            self._end_pending()

    async def _wait(self) -> Http1Connection:
        event = trio.Event()
        waiter = self._core.wait(event.set)
        try:
            await event.wait()
        except BaseException:
            self._core.withdraw(waiter)
            raise
        grant = waiter.grant
        assert grant is not None
        if isinstance(grant, ProxyError):
            raise grant
        return await self._open() if grant is OPEN else grant

    async def _open(self) -> Http1Connection:
        """Open the connection that `may_open` allowed, for the request that waits for it."""
        try:
            return await self._connect()
        except ConnectFailed as failed:
            self.stats.rq_pending_failure_eject.inc()
            raise failures.connect_failed(failed) from failed

    async def _connect(self) -> Http1Connection:
        """Open the connection that `may_open` allowed. Raises `ConnectFailed`, as everybody who waits has been told."""
        stats, began = self.stats, trio.current_time()
        stats.cx_http1_total.inc()
        self._begin_connection()
        try:
            sock = await connect_to(self.host, self._config, self._tls, self._charge_another_attempt)
        except ConnectFailed as failed:
            self._charge_connect_failure(failed)
            stats.rq_pending_failure_eject.inc(
                self._core.fail_waiters(functools.partial(failures.connect_failed, failed))
            )
            self._forget(began, remote=failed.remote)
            raise
        except BaseException:
            self._forget(began, remote=False)
            raise
        stats.cx_connect_ms.record(milliseconds(began))
        return self._connection(sock, began)

    def adopt(self, sock: socket.socket, began: float) -> None:
        """Go on with a connection that was claimed, opened and counted for HTTP/2 since `began`."""
        self._core.opened += 1
        self.stats.cx_http1_total.inc()
        self._put(self._connection(sock, began))

    def _connection(self, sock: socket.socket, began: float) -> Http1Connection:
        limit = self._config.per_connection_buffer_limit_bytes
        now, remote = trio.current_time(), self._remote(sock)
        identity = UpstreamConnection(next(self._numbers), began, now, tls=agreed(sock), remote=remote)
        connection = Http1Connection(sock, self._make_codec(), self.stats, buffer_limit=limit, identity=identity)
        connection.created = began
        connection.watch.on_unasked = functools.partial(self._unasked, connection)
        return connection

    def _put(self, connection: Http1Connection, now: float | None = None) -> None:
        if self._draining and not self._core.waiting:
            self._close(connection, remote=False)
        elif connection.watch.readable and not connection.is_quiet():  # its end came with the response
            self._close(connection, remote=True)
        else:
            connection.idle_since = trio.current_time() if now is None else now
            self._core.put(connection)

    def _close(self, connection: Http1Connection, *, remote: bool, with_active_rq: bool = False) -> None:
        connection.close()
        self.stats.rq_per_cx.record(connection.requests)
        self._forget(connection.created, remote=remote, with_active_rq=with_active_rq)

    def _forget(self, began: float, *, remote: bool, with_active_rq: bool = False) -> None:
        self._charge_end(began, remote=remote, with_active_rq=with_active_rq)
        self._core.gone()
