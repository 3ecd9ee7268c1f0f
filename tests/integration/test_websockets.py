"""WebSockets through the running program, between a client and a server of a library that everybody uses."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, serve

from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

DEADLINE = 20.0  # s
BULK = 64 * 1024 * 1024  # more than all buffers on the way hold
PIECE = 256 * 1024


@dataclass
class Service:
    """What the server has seen. What a connection's handler does, the path says; `closed` is by the query."""

    closed: dict[str, tuple[int, str]] = field(default_factory=dict)
    pinged: list[bool] = field(default_factory=list)
    flooded: int = 0

    def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        name, _, key = connection.request.path.strip("/").partition("?")
        with contextlib.suppress(ConnectionClosed):
            getattr(self, f"do_{name}")(connection)
        connection.close()
        self.closed[key] = (connection.close_code or 0, connection.close_reason or "")

    def do_echo(self, connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    def do_ping(self, connection: ServerConnection) -> None:
        self.pinged.append(connection.ping(b"are you there?").wait(DEADLINE))
        connection.recv(timeout=DEADLINE)

    def do_leave(self, connection: ServerConnection) -> None:
        connection.close(1013, "try again later")

    def do_flood(self, connection: ServerConnection) -> None:
        while self.flooded < BULK:
            connection.send(bytes(PIECE))
            self.flooded += PIECE


@pytest.fixture(scope="module")
def service() -> Service:
    return Service()


@pytest.fixture(scope="module")
def port(service: Service) -> Iterator[int]:
    """The server's."""
    with serve(service.handle, "127.0.0.1", 0, close_timeout=DEADLINE, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield _port_of(server)


def _port_of(server: Server) -> int:
    return int(server.socket.getsockname()[1])


@pytest.fixture(scope="module")
def url(port: int) -> Iterator[str]:
    listener = http_listener(
        virtual_host("all", ["*"], route("/", "origin")), upgrade_configs=[{"upgrade_type": "websocket"}]
    )
    with Proxy(bootstrap([listener], [static_cluster("origin", port)])) as proxy:
        host, number = proxy.address()
        yield f"ws://{host}:{number}"


def opened(url: str, path: str, **options: Any) -> Any:
    return connect(f"{url}/{path}", open_timeout=DEADLINE, close_timeout=DEADLINE, max_size=None, **options)


def test_extensions_are_between_the_two(url: str) -> None:
    with opened(url, "echo") as compressed, opened(url, "echo", compression=None) as plain:
        assert [type(one) for one in compressed.protocol.extensions] == [PerMessageDeflate]
        assert plain.protocol.extensions == []
        for message in ("", "é" * 40_000, b"\x00" * 1_000_000, "last"):
            for client in (compressed, plain):
                client.send(message)
                assert client.recv(timeout=DEADLINE) == message


def test_a_message_in_many_frames(url: str) -> None:
    pieces = [bytes([number]) * 50_000 for number in range(20)]
    with opened(url, "echo") as client:
        client.send(iter(pieces))
        assert client.recv(timeout=DEADLINE) == b"".join(pieces)


def test_pings_of_both_sides(url: str, service: Service) -> None:
    with opened(url, "ping") as client:
        assert client.ping(b"and you?").wait(DEADLINE)
        wait_for(lambda: service.pinged, deadline=DEADLINE, what="the server has its pong")
        client.send("done")
    assert service.pinged == [True]


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going away"), (4000, "é" * 60)])
def test_the_clients_close_code(url: str, service: Service, code: int, reason: str) -> None:
    with opened(url, f"echo?{code}") as client:
        client.close(code, reason)
    wait_for(lambda: str(code) in service.closed, deadline=DEADLINE, what="the server has seen the end")
    assert service.closed[str(code)] == (code, reason)


def test_the_servers_close_code(url: str) -> None:
    with opened(url, "leave") as client, pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=DEADLINE)
    received = closed.value.rcvd
    assert received is not None
    assert (received.code, received.reason) == (1013, "try again later")


def test_a_client_that_is_gone_without_a_word(url: str, service: Service) -> None:
    client = opened(url, "echo?gone")
    client.socket.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: "gone" in service.closed, deadline=DEADLINE, what="the server has seen the end")
    assert service.closed["gone"] == (1006, "")


def test_a_client_that_reads_slowly_holds_the_server_back(url: str, service: Service) -> None:
    """The library stops reading the socket while nobody takes its messages."""
    with opened(url, "flood", compression=None) as client:
        seen = [-1]

        def stands_still() -> bool:
            seen.append(service.flooded)
            return seen[-1] == seen[-2] > 0

        wait_for(stands_still, deadline=DEADLINE, what="the server waits")
        assert service.flooded < BULK
        received = 0
        with contextlib.suppress(ConnectionClosed):
            while True:
                received += len(client.recv(timeout=DEADLINE))
        assert received == BULK
