"""Addresses of both ends, and what is said of a client that has gone."""

from __future__ import annotations

import socket
from pathlib import Path

from proxy.config.common import PipeAddress, SocketAddress
from proxy.errors import Flag
from proxy.net.peer import address_of, disconnected


def test_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert address_of(client, peer=True) == SocketAddress(*server.getsockname())
        assert address_of(client, peer=False) == SocketAddress(*client.getsockname())


def test_unix(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
        assert address_of(client, peer=True) == PipeAddress(str(tmp_path / "s"))
        assert address_of(client, peer=False) == PipeAddress("")


def test_a_peer_that_is_gone_has_no_address() -> None:
    with socket.socket() as sock:
        assert address_of(sock, peer=True) == SocketAddress("", 0)


def test_nobody_is_left_to_answer() -> None:
    error = disconnected()
    assert (error.status, error.side, error.flag) == (0, "downstream", Flag.DOWNSTREAM_CONNECTION_TERMINATION)
