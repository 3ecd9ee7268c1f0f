"""The end of a listening socket: nobody new, and nobody who waits is lost."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from master.supervisor import listen_queue

WAITING = 5


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as sock:
        sock.setblocking(False)
        yield sock


def connect(address: object, *, timeout: float = 5.0) -> socket.socket:
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    client = socket.socket(family)
    client.settimeout(timeout)
    try:
        client.connect(address)  # type: ignore[arg-type]
    except OSError:
        client.close()
        raise
    return client


def test_who_waits_is_accepted_and_nobody_joins(listening: socket.socket) -> None:
    address = listening.getsockname()
    clients = [connect(address) for _ in range(WAITING)]
    listen_queue.refuse(listening)
    with pytest.raises(TimeoutError):
        connect(address, timeout=0.1)
    for client in clients:
        client.sendall(b"said after the refusal")
    for _ in clients:
        assert listen_queue.waiting(listening)
        server, _ = listening.accept()
        server.settimeout(5)
        assert server.recv(100) == b"said after the refusal"
        server.close()
    assert not listen_queue.waiting(listening)
    listening.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ConnectionRefusedError):
        connect(address)
    for client in clients:
        client.close()


def test_what_was_refused_is_admitted_again(listening: socket.socket) -> None:
    listen_queue.refuse(listening)
    listen_queue.admit(listening)
    connect(listening.getsockname()).close()


def test_a_unix_socket_refuses_at_once_and_keeps_its_queue(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        sock.setblocking(False)
        clients = [connect(path) for _ in range(WAITING)]
        listen_queue.refuse(sock)
        with pytest.raises(ConnectionRefusedError):
            connect(path)
        for client in clients:
            server, _ = sock.accept()
            server.close()
            client.close()
