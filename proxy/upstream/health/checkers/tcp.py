"""`tcp_health_check`: a connection, and what the host has to say on it."""

from __future__ import annotations

import socket
from math import inf

import trio

from proxy.config.health_check import TcpCheck
from proxy.upstream.connect import ConnectFailed, connect
from proxy.upstream.connection import Connection, ConnectionLost
from proxy.upstream.health.payload import PayloadMatcher
from proxy.upstream.health.target import Target
from proxy.upstream.health.verdicts import Failure, Result

FAILED = Result(Failure.NETWORK)


class TcpChecker:
    """Implements `Checker`. Where nothing is to be received, each check has a connection of its own."""

    def __init__(self, target: Target[TcpCheck]) -> None:
        self._target = target
        self._config = target.kind
        self._connection: Connection | None = None

    async def check(self) -> Result:
        try:
            connection = self._connection
            if connection is None:
                connection = self._connection = await self._connect()
            if not self._config.receive:
                self.close()
                return Result()
            if self._config.send:
                await connection.send(self._config.send)
            result = await self._receive(connection)
        except (ConnectFailed, ConnectionLost):
            result = FAILED
        if result.failure is not None or not self._target.reuses:
            self.close()
        return result

    async def _connect(self) -> Connection:
        target = self._target
        sock = await connect(target.host.address, inf, target.tls(), target.config.socket)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Connection(sock, target.counts)

    async def _receive(self, connection: Connection) -> Result:
        matcher = PayloadMatcher(self._config.receive)
        while not matcher.matched:
            data = await connection.receive()
            if not data:
                return FAILED
            matcher.feed(data)
        return Result()

    async def watch(self) -> Result:
        """A host that closes the connection that we keep has failed, as in Envoy; what it sends is passed over."""
        connection = self._connection
        if connection is None:
            await trio.sleep_forever()
            raise AssertionError
        try:
            while await connection.receive():
                pass
        except ConnectionLost:
            pass
        self.close()
        return FAILED

    def abandon(self) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
