"""The TCP connections of one worker to one host for requests that become TCP: each has its own, none is kept."""

from __future__ import annotations

import trio

from proxy.http.stream_info import UpstreamConnection
from proxy.upstream import failures
from proxy.upstream.announced import Manner
from proxy.upstream.connect import agreed
from proxy.upstream.judge import Judge
from proxy.upstream.pool import Common, Pool
from proxy.upstream.stats import Outcomes
from proxy.upstream.tcp import TcpConnection
from proxy.upstream.tcp_stream import TcpStream


class TcpPool(Pool):
    """Gives out `TcpStream`s; their connections count as those of TCP do."""

    def __init__(self, common: Common, tls: Manner | None) -> None:
        super().__init__(common)
        self._tls = tls
        self._open: set[TcpConnection] = set()

    @property
    def empty(self) -> bool:
        return not self._open

    @property
    def unused(self) -> bool:
        return not self._open

    async def open(self, outcomes: Outcomes, judge: Judge | None = None) -> TcpStream:
        if not self._breaker.claim_connection(force=False):
            raise failures.reset("overflow")
        connection = TcpConnection(
            self.host, self._config, self.stats, self._breaker, self._hosts, self._open.discard, self._tls
        )
        self._open.add(connection)
        began = trio.current_time()
        await connection.open()
        session = agreed(connection.sock)
        identity = UpstreamConnection(next(self._numbers), began, trio.current_time(), "", session)
        return TcpStream(self, connection, identity, outcomes, judge)

    def reap(self, now: float) -> None:
        """None is ever idle."""

    def drain(self) -> None:
        """Each ends with its request."""
