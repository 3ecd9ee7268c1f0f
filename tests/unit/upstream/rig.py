"""A cluster on real sockets: scripted origins in the test's own loop, stats and tables in memory."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import trio

from master.stats.derive import derive
from proxy.config.cluster import CircuitBreaker, ClusterEndpoints, Host, LocalityHosts
from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.common import Address, SocketAddress
from proxy.http.events import DataReceived, ResponseReceived, StreamEnded
from proxy.http.headers import Headers
from proxy.stats import MemoryStats
from proxy.upstream.background import Background
from proxy.upstream.cluster import Cluster
from proxy.upstream.stream import UpstreamStream
from proxy.upstream.tables import ClusterColumn, HostColumn, MemoryTables

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
NOT_TOLD = re.compile("bytes|rq_.xx|rq_completed|internal|external")
Serve = Callable[[trio.SocketStream], Awaitable[None]]


async def read_head(stream: trio.SocketStream) -> bytes:
    """One request head (and what came with it); b"" when the peer closed before it was complete."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some(65536)
        if not more:
            return b""
        data += more
    return data


def answering(response: bytes) -> Serve:
    """An origin that answers every request on a connection with `response`."""

    async def serve(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(response)

    return serve


def answering_once(response: bytes) -> Serve:
    """An origin that answers one request with `response` and closes."""

    async def serve(stream: trio.SocketStream) -> None:
        if await read_head(stream):
            await stream.send_all(response)

    return serve


async def silent(_: trio.SocketStream) -> None:
    """An origin that never says anything."""
    await trio.sleep_forever()


class Origin:
    """Scripted origin; `accepted` counts its connections."""

    def __init__(self, address: SocketAddress) -> None:
        self.address = address
        self.accepted = 0


@contextlib.asynccontextmanager
async def origin(serve: Serve) -> AsyncIterator[Origin]:
    """Serves each connection with `serve`, then closes it."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        host, port = listeners[0].socket.getsockname()
        found = Origin(SocketAddress(host, port))

        async def handle(stream: trio.SocketStream) -> None:
            found.accepted += 1
            with contextlib.suppress(trio.BrokenResourceError):
                await serve(stream)

        nursery.start_soon(trio.serve_listeners, handle, listeners)
        yield found
        nursery.cancel_scope.cancel()


def endpoints(*addresses: Address, weights: tuple[int, ...] = (), version: int = 1) -> ClusterEndpoints:
    """One locality; slots are 0, 1, 2…"""
    hosts = tuple(Host(slot, address, weight=weights[slot] if weights else 1) for slot, address in enumerate(addresses))
    return ClusterEndpoints("c", version, (LocalityHosts(0, hosts),))


class Rig:
    """A cluster `c` with what its stats and tables say."""

    def __init__(self, *addresses: Address, breaker: dict[str, Any] | None = None, **config: Any) -> None:
        self.memory = MemoryStats()
        self.tables = MemoryTables()
        limits = CircuitBreaker(**(breaker or {}))
        self.config = ClusterConfig("c", "STATIC", breaker=limits, **config)
        self.background = Background()
        self.cluster = Cluster(
            self.config, endpoints(*addresses), self.memory, self.tables, seed=0, background=self.background
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if hasattr(self, "cluster"):  # some tests let go of it
            self.cluster.close()

    async def get(self, path: bytes = b"/") -> bytes:
        """One GET; the body."""
        stream = await self.cluster.open_stream()
        try:
            await stream.send_request(b"GET", path, b"h", Headers(), end_stream=True)
            return await read_body(stream)
        finally:
            stream.close()

    def stat(self, name: str) -> int:
        """A counter or gauge, or what a reader sums up from them."""
        return derive(self._words()).get(f"cluster.c.upstream_{name}", 0)

    def nonzero(self) -> dict[str, int]:
        """Every counter and gauge that is not 0, without bytes, and without responses by class and caller."""
        prefix = "cluster.c.upstream_"
        words = derive(self._words()).items()
        return {name.removeprefix(prefix): value for name, value in words if value and not NOT_TOLD.search(name)}

    def _words(self) -> dict[str, int]:
        return {name: word.value for name, word in self.memory.words.items()}

    def host(self, column: HostColumn, slot: int = 0) -> int:
        return self.tables.hosts.get(slot, column)

    def in_use(self) -> dict[str, int]:
        """Everything that must be 0 when nothing is under way, the idle connections apart."""
        claims = {column.name: self.tables.clusters.get(0, column) for column in ClusterColumn}
        gauges = {name: self.stat(name) for name in ("rq_active", "rq_pending_active", "cx_active")}
        hosts = {column.name: self.host(column) for column in (HostColumn.CX_ACTIVE, HostColumn.RQ_ACTIVE)}
        return {name: value for name, value in (claims | gauges | hosts).items() if value}


async def read_body(stream: UpstreamStream, statuses: list[int] | None = None) -> bytes:
    """Reads the response to its end; `statuses` gets the final status as soon as it is there."""
    body = b""
    while True:
        event = await stream.receive()
        if isinstance(event, ResponseReceived) and statuses is not None:
            statuses.append(event.status)
        if isinstance(event, DataReceived):
            body += event.data
        elif isinstance(event, StreamEnded) or (isinstance(event, ResponseReceived) and event.end_stream):
            return body
