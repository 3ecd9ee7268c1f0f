"""A whole `Server` in the test's own loop: compiled structs in, real sockets out, stats and tables in memory."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Literal

import msgspec
import trio
from trio.testing import MockClock

from proxy.config.bootstrap import CompiledConfig, Node
from proxy.config.cluster import Cluster, ClusterEndpoints, Endpoints, Host, LocalityHosts
from proxy.config.common import Address, PluginConfig, SocketAddress
from proxy.config.http1 import UpstreamHttp1Options
from proxy.config.lb import LoadBalancing
from proxy.config.listener import FilterChain, Listener
from proxy.config.route import ClusterAction, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.filters.http.router import Router
from proxy.filters.network.hcm_config import Config as HcmConfig
from proxy.flight_recorder import MemoryRecorder, Record
from proxy.server import Server
from proxy.stats import MemoryStats
from proxy.upstream.tables import MemoryTables

ROUTER = "envoy.extensions.filters.http.router.v3.Router"
HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
GET = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"


def plugin(name: str, type_url: str, config: Any) -> PluginConfig:
    """A plug-in as the compiler writes it."""
    return PluginConfig(name, type_url, msgspec.Raw(msgspec.msgpack.encode(config)))


def router(**options: Any) -> PluginConfig:
    """The router filter."""
    return plugin("router", ROUTER, Router.Config(**options))


def route(prefix: str = "/", cluster: str = "origin", **options: Any) -> Route:
    """A prefix route; `timeout` goes to its action, the rest to the route."""
    action = ClusterAction(cluster, **({"timeout": options.pop("timeout")} if "timeout" in options else {}))
    return Route(RouteMatch("prefix", prefix), action, **options)


def compiled(
    origin: Address | None,
    *,
    routes: Iterable[Route] = (),
    filters: Iterable[PluginConfig] = (),
    virtual_host: dict[str, Any] | None = None,
    last: PluginConfig | None = None,
    upstream: UpstreamHttp1Options = UpstreamHttp1Options(),  # noqa: B008 (frozen)
    protocol: Literal["http1", "http2"] = "http1",
    lb: LoadBalancing = LoadBalancing(),  # noqa: B008 (frozen)
    **hcm: Any,
) -> CompiledConfig:
    """One listener `l`, stat prefix `in`, one cluster `origin` with `upstream` options and `lb` that speaks `protocol`;
    `last` replaces the router; `hcm` are further fields of the connection manager."""
    hosts = () if origin is None else (Host(0, origin),)
    vhost = VirtualHost("v", ("*",), tuple(routes) or (route(),), **(virtual_host or {}))
    config = HcmConfig("in", RouteConfiguration("r", (vhost,)), (*filters, last or router()), **hcm)
    chain = FilterChain("", (plugin("hcm", HCM, config),))
    endpoints = Endpoints(1, {"origin": ClusterEndpoints("origin", 1, (LocalityHosts(0, hosts),))})
    listener = Listener("l", (SocketAddress("127.0.0.1", 0),), "127.0.0.1_0", (chain,))
    cluster = Cluster("origin", "STATIC", http1=upstream, protocol=protocol, lb=lb)
    return CompiledConfig(1, Node(), (listener,), (cluster,), endpoints)


class Rig:
    """A running server. `connect` gives a client; `value` reads a stat of the connection manager; `records` is what
    the flight recorder holds, oldest first.
    """

    def __init__(
        self,
        server: Server,
        stats: MemoryStats,
        tables: MemoryTables,
        address: tuple[str, int],
        scope: trio.CancelScope,
    ) -> None:
        self.scope = scope
        self.accepting = trio.CancelScope()
        self.stopped = trio.Event()
        self.clients: list[Client] = []
        self.records: list[Record] = []
        self.server = server
        self.stats = stats
        self.tables = tables
        self.address = address

    async def connect(self, *, port: int = 0, receive_buffer: int = 0) -> Client:
        """A new client connection; `receive_buffer` bounds the kernel's buffer (bytes)."""
        sock = trio.socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await sock.connect((self.address[0], port or self.address[1]))
        client = Client(trio.SocketStream(sock))
        self.clients.append(client)
        return client

    async def ask(self, data: bytes = GET) -> bytes:
        """Everything that the server sends to a client that sends `data` and waits for the end."""
        async with await self.connect() as client:
            await client.send(data)
            return await client.rest()

    def value(self, name: str) -> int:
        """`http.in.<name>`."""
        return self.stats.value(f"http.in.{name}")

    def gauges(self) -> dict[str, int]:
        """Every gauge that is not zero: connections, requests, of both sides."""
        return {name: word.value for name, word in self.stats.words.items() if name.endswith("_active") and word.value}

    async def quiet(self) -> None:
        """Until no downstream connection is left."""
        await until(lambda: not self.server.connections)

    def start_drain(self) -> None:
        """What a worker does whose sockets others serve on."""
        self.accepting.cancel()
        self.server.start_drain()

    async def stop(self) -> None:
        """Cancel the server and wait for its end."""
        self.scope.cancel()
        await self.stopped.wait()


class Client:
    """A client on a raw socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._seen = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def until(self, end: bytes) -> bytes:
        """What comes up to and with `end`."""
        while end not in self._seen:
            data = await self.stream.receive_some(65536)
            if not data:
                raise AssertionError(f"closed after {self._seen!r}")
            self._seen += data
        found, _, self._seen = self._seen.partition(end)
        return found + end

    async def response(self) -> tuple[bytes, bytes]:
        """Head and body of the next response, which must have a `content-length`."""
        head = await self.until(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        while len(self._seen) < length:
            data = await self.stream.receive_some(65536)
            if not data:
                raise AssertionError(f"closed within {self._seen!r}")
            self._seen += data
        body, self._seen = self._seen[:length], self._seen[length:]
        return head, body

    async def rest(self) -> bytes:
        """Everything up to the end; a reset ends it too."""
        with contextlib.suppress(trio.BrokenResourceError):
            while data := await self.stream.receive_some(65536):
                self._seen += data
        found, self._seen = self._seen, b""
        return found

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.aclose_forcefully(self.stream)


async def until(condition: Callable[[], bool]) -> None:
    """Poll for what no event tells; ever less often, since each look at a virtual clock costs real time."""
    pause = 0.005
    while not condition():
        await trio.sleep(pause)
        pause = min(pause * 1.25, 0.25)


@contextlib.asynccontextmanager
async def serving(config: CompiledConfig) -> AsyncIterator[Rig]:
    """A server on a port of 127.0.0.1. Closes the clients at the end."""
    stats, tables = MemoryStats(), MemoryTables()
    recorder = MemoryRecorder()
    server = Server(config, config.endpoints, stats, tables, worker_index=0, recorder=recorder)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        sock.setblocking(False)

        async def accept(rig: Rig) -> None:
            with rig.accepting:
                await server.accept("l", 0, sock)

        async def run(rig: Rig, task_status: trio.TaskStatus[None]) -> None:
            with rig.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(accept, rig)
                    await server.run(task_status=task_status)
                    nursery.cancel_scope.cancel()
            rig.stopped.set()

        async with trio.open_nursery() as nursery:
            rig = Rig(server, stats, tables, sock.getsockname(), trio.CancelScope())
            rig.records = recorder.records
            await nursery.start(lambda task_status: run(rig, task_status))
            try:
                yield rig
            finally:
                for client in rig.clients:
                    client.stream.socket.close()
                nursery.cancel_scope.cancel()


def virtual_clock() -> MockClock:
    """Time that jumps when nothing happens; what real sockets within one process do takes less than the threshold."""
    return MockClock(autojump_threshold=0.002)
