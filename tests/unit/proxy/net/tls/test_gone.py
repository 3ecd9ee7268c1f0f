"""Peers that reset the connection before there is any TLS: they cost nobody anything."""

from __future__ import annotations

import errno
import socket

import pytest
import trio

from proxy.config.common import SocketAddress
from proxy.config.tls import Certificate, DownstreamTls, UpstreamTls
from proxy.errors import ProxyError
from proxy.http.stream_info import StreamInfo
from proxy.net.connection import Connection
from proxy.net.tls import handshake
from proxy.net.tls.client import ClientTls
from proxy.net.tls.refusal import Refusal
from proxy.net.tls.server import ServerTls
from proxy.net.tls.stats import TlsStats
from proxy.stats import MemoryStats
from proxy.upstream import connect
from tests.kit.certificates import Authority
from tests.kit.gone import gone
from tests.kit.trio import run_trio


@pytest.fixture(scope="module")
def server() -> ServerTls:
    pair = Authority().issue("a.test")
    return ServerTls(DownstreamTls((Certificate(pair.chain.encode(), pair.key.encode()),)), TlsStats(MemoryStats(), ""))


@pytest.fixture
def client() -> ClientTls:
    return ClientTls(UpstreamTls(sni="a.test"), TlsStats(MemoryStats(), ""))


def test_its_socket_is_at_its_end(server: ServerTls) -> None:
    with server.wrap(gone()) as sock:
        assert sock.engine is None
        assert sock.recv(100) == sock.recv(1, socket.MSG_PEEK) == b""


@run_trio
async def test_a_client(server: ServerTls) -> None:
    """It is nobody's handshake, so that no client's turn comes sooner to make way for those that wait."""
    told: list[Refusal] = []
    timed_out = MemoryStats().counter("timed_out")
    with trio.CancelScope() as scope:
        connection = Connection(gone(), scope)
        connection.info = StreamInfo(connection.opened_at, connection)  # the listener has an access log
        with pytest.raises(ProxyError):
            await handshake.accept(connection, server, 5, timed_out, told.append)
        connection.close()
    assert (connection.closed_by_peer, connection.close_type, connection.fd) == (True, b"RemoteReset", -1)
    assert not told
    assert not handshake._handshakes()._waiting


@pytest.mark.parametrize("applications", [(), ("h2", "http/1.1")])
def test_a_host(client: ClientTls, applications: tuple[str, ...]) -> None:
    sock = gone()
    with pytest.raises(ConnectionResetError):
        client.towards("a.test", applications=applications).begin(sock)
    assert sock.fileno() == -1


@run_trio
async def test_a_host_cannot_be_connected_to(client: ClientTls, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connected(*_: object) -> socket.socket:
        return gone()

    monkeypatch.setattr(connect, "_connect", connected)
    with pytest.raises(connect.ConnectFailed) as caught:
        await connect.connect(SocketAddress("127.0.0.1", 1), 5, client.towards("a.test"))
    assert (caught.value.cause, caught.value.errno) == (
        "delayed connect error: Connection reset by peer",
        errno.ECONNRESET,
    )
