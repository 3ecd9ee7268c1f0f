"""The HTTP/2 connections of one worker to one host, each of which carries many requests at a time.

* A request takes the first connection that has room; without one it waits, in order of arrival.
* Another connection is opened only while more requests run or wait than there is room for (`preconnect_ratio` times as
  many, where that is set), and while the breaker allows it; the first one is always allowed, so nobody waits forever.
* A connection outlives the request that it was opened for: it is a task of the worker's.
"""

from __future__ import annotations

import functools
import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from proxy.errors import ProxyError
from proxy.http.codec_h2_client import H2ClientCodec
from proxy.http.stream_info import UpstreamConnection
from proxy.upstream import failures
from proxy.upstream.background import Background
from proxy.upstream.connect import ConnectFailed, agreed
from proxy.upstream.connection import Connection
from proxy.upstream.happy_eyeballs import connect_to
from proxy.upstream.http2_connection import Http2Connection
from proxy.upstream.http2_express import ExpressStream
from proxy.upstream.http2_stream import Http2Stream
from proxy.upstream.judge import Judge
from proxy.upstream.pool import Common, Pool, milliseconds
from proxy.upstream.stats import Outcomes

if TYPE_CHECKING:
    from proxy.upstream.announced import Manner

log = logging.getLogger("proxy.http")

_PROTOCOL = "HTTP/2"


class SpeaksHttp1(Exception):
    """The host has chosen HTTP/1.1."""


class _Waiter:
    """A request that waits. `grant` is set once, then `event`."""

    __slots__ = ("event", "grant")

    def __init__(self) -> None:
        self.event = trio.Event()
        self.grant: Http2Connection | Exception | None = None


class Http2Pool(Pool):
    """`release` takes back what `open` has claimed. `otherwise`, if it is set, gets the sockets of hosts that do not
    choose HTTP/2 by ALPN, with the time at which connecting began; `open` raises `SpeaksHttp1` then. What `cluster`
    gives lives as long as each connection: whose rows these write, others must not have meanwhile.
    """

    def __init__(
        self,
        common: Common,
        tls: Manner | None,
        make_codec: Callable[[], H2ClientCodec],
        background: Background,
        cluster: Callable[[], object],
    ) -> None:
        super().__init__(common)
        self.otherwise: Callable[[socket.socket, float], None] | None = None
        self._tls = tls
        self._make_codec = make_codec
        self._background = background
        self._cluster = cluster
        self._connections: list[Http2Connection] = []
        self._waiting: deque[_Waiter] = deque()  # bounded by the breaker's max_pending_requests

    @property
    def empty(self) -> bool:
        return not self._connections and not self._waiting

    @property
    def unused(self) -> bool:
        return not self._waiting and not any(each.claimed or each.connecting for each in self._connections)

    async def open(self, outcomes: Outcomes, judge: Judge | None = None) -> Http2Stream:
        connection = self._take() or await self._wait_pending()
        if connection.gone is not None or connection.leaving:  # since it was granted; nothing has been sent: once more
            self._give_back(connection)
            connection = self._take() or await self._wait_pending()
        if not self._breaker.claim_request():
            self._give_back(connection)
            raise failures.reset("overflow")
        self._begin_request()
        if self._config.preconnect_ratio > 1.0:
            self._grow()
        return Http2Stream(self, connection, outcomes, judge)

    def take(self, now: float, size: int = 0) -> ExpressStream | None:
        connection = None if self.canary else self._with_room()
        if connection is None or not connection.codec.takes_whole(size) or not self._breaker.try_claim_request():
            return None
        self._claim(connection)
        self._begin_request()
        if self._config.preconnect_ratio > 1.0:
            self._grow()
        return ExpressStream(connection)

    def put_back(self, upstream: ExpressStream, now: float) -> None:
        upstream.connection.remove(upstream)
        self.release(upstream.connection)

    def go_on(
        self, upstream: ExpressStream, outcomes: Outcomes, *, sent_at: float, judge: Judge | None = None
    ) -> Http2Stream:
        return Http2Stream.going_on(self, upstream, outcomes, sent_at=sent_at, judge=judge)

    def release(self, connection: Http2Connection) -> None:
        """A stream of `connection` is over."""
        self._end_request()
        self._give_back(connection)

    def charge_reset(self, reason: failures.Reason) -> None:
        """A stream has ended for `reason`, as Envoy counts it."""
        match reason:
            case "connection termination":
                self.stats.rq_pending_failure_eject.inc()
            case "remote reset":
                self.stats.rq_rx_reset.inc()
            case "protocol error":
                self.stats.rq_tx_reset.inc()

    def reap(self, now: float) -> None:
        timeout, duration = self._config.idle_timeout, self._config.max_connection_duration
        for connection in list(self._connections):
            if connection.draining or connection.connecting:
                continue
            if duration and now - connection.began >= duration:
                self.stats.cx_max_duration_reached.inc()
                self._retire(connection)
            elif timeout and not connection.claimed and now - connection.idle_since >= timeout:
                self.stats.cx_idle_timeout.inc()
                self._retire(connection)

    def drain(self) -> None:
        self._draining = True
        for connection in list(self._connections):
            if not connection.connecting:
                self._retire(connection)

    # --- who gets which connection ------------------------------------------------------------------------------------

    def _with_room(self) -> Http2Connection | None:
        """The first connection that takes another stream."""
        for connection in self._connections:
            if connection.room > 0:
                return connection
        return None

    def _take(self) -> Http2Connection | None:
        """Claim a stream of a connection that has room."""
        connection = self._with_room()
        if connection is not None:
            self._claim(connection)
        return connection

    def _claim(self, connection: Http2Connection) -> None:
        connection.claimed += 1
        connection.requests += 1
        if connection.requests == self._config.max_requests_per_connection:
            self.stats.cx_max_requests.inc()
            connection.draining = True

    def _give_back(self, connection: Http2Connection) -> None:
        connection.claimed -= 1
        if not connection.claimed:
            connection.idle_since = trio.current_time()
            if connection.draining or not connection.codec.streams_left:
                self._retire(connection)
        self.on_room()

    async def _wait_pending(self) -> Http2Connection:
        self._begin_pending()
        waiter = _Waiter()
        self._waiting.append(waiter)
        try:
            self._grow()
            await waiter.event.wait()
        except trio.Cancelled:
            self.stats.rq_cancelled.inc()
            if waiter.grant is None:
                self._waiting.remove(waiter)
            elif isinstance(waiter.grant, Http2Connection):
                self._give_back(waiter.grant)
            raise
        finally:
            self._end_pending()
        if isinstance(waiter.grant, Http2Connection):
            return waiter.grant
        assert waiter.grant is not None
        raise waiter.grant

    def on_room(self) -> None:
        """As `Owner`: those who wait take what there is."""
        while self._waiting and (connection := self._take()):
            self._settle(connection)
        self._grow()
        if self._draining and not self._waiting:
            for connection in self._connections:
                if not connection.connecting:
                    self._retire(connection)

    def _settle(self, grant: Http2Connection | Exception) -> None:
        waiter = self._waiting.popleft()
        waiter.grant = grant
        waiter.event.set()

    # --- connections --------------------------------------------------------------------------------------------------

    def _grow(self) -> None:
        """Open the connections that those who wait need, and are to come."""
        while self._is_short():
            if not self._breaker.claim_connection(force=not self._connections):
                return
            connection = Http2Connection(self, self._make_codec())
            if not self._background.start(functools.partial(self._run, connection, self._cluster())):
                self._breaker.release_connection()  # the worker ends, and all who wait with it
                return
            self._connections.append(connection)
            self._begin_connection()
            if self.otherwise is None:
                self.stats.cx_http2_total.inc()

    def _is_short(self) -> bool:
        if not self._waiting and self._config.preconnect_ratio <= 1.0:
            return False
        if any(each.takes_none for each in self._connections):
            return False  # for now; another one would be told the same
        running = sum(each.claimed for each in self._connections)
        room = sum(each.capacity if each.connecting else each.room for each in self._connections)
        return (len(self._waiting) + running) * self._config.preconnect_ratio > room + running

    async def _run(self, connection: Http2Connection, _: object) -> None:
        """The life of one connection."""
        try:
            sock = await connect_to(self.host, self._config, self._tls, self._charge_another_attempt)
            if self.otherwise is not None:
                if _chosen(sock) != "h2":
                    self._hand_over(connection, sock, self.otherwise)
                    return
                self.stats.cx_http2_total.inc()
            number, now = next(self._numbers), trio.current_time()
            identity = UpstreamConnection(number, connection.began, now, _PROTOCOL, agreed(sock), self._remote(sock))
            self.stats.cx_connect_ms.record(milliseconds(connection.began))
            await connection.serve(Connection(sock, self.stats, identity=identity))
        except ConnectFailed as failed:
            connection.remote = failed.remote
            self._charge_connect_failure(failed)
            self.stats.rq_pending_failure_eject.inc(len(self._waiting))
            while self._waiting:
                self._settle(failures.connect_failed(failed))
        except Exception:
            log.exception("an upstream connection failed")
            while connection.connecting and self._waiting:  # the next one would end in the same way
                self._settle(ProxyError("internal_error", side="internal", status=500))
        finally:
            if connection in self._connections:
                self._forget(connection)

    def _hand_over(
        self, connection: Http2Connection, sock: socket.socket, otherwise: Callable[[socket.socket, float], None]
    ) -> None:
        """It is none of HTTP/2; nor is anything for those who wait."""
        self._connections.remove(connection)
        self.stats.cx_connect_ms.record(milliseconds(connection.began))
        otherwise(sock, connection.began)
        while self._waiting:
            self._settle(SpeaksHttp1())

    def on_goaway(self, connection: Http2Connection) -> None:
        """As `Owner`."""
        self.stats.cx_close_notify.inc()
        self._retire(connection)

    def _retire(self, connection: Http2Connection) -> None:
        """It carries no new streams, and ends with its last one."""
        connection.draining = True
        if not connection.claimed:
            connection.close()

    def _forget(self, connection: Http2Connection) -> None:
        self._connections.remove(connection)
        if connection.codec.failure is not None:
            self.stats.cx_protocol_error.inc()
        if not connection.connecting:
            self.stats.rq_per_cx.record(connection.requests)
        self._charge_end(
            connection.began,
            remote=connection.remote,
            with_active_rq=connection.claimed > 0 and connection.codec.failure is None,
        )
        self._breaker.release_connection()
        if self._waiting:  # for those to come alone, none is opened before the next request
            self._grow()


def _chosen(sock: socket.socket) -> str:
    session = agreed(sock)
    return session.alpn if session is not None else ""
