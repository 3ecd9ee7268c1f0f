"""The client that does nothing but TLS handshakes, with a server of Python's."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.handshakes import Client
from tests.kit.certificates import Authority


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """Of a server that answers once, and closes."""
    pair = Authority().issue("a.test")
    (tmp_path / "pair").write_text(pair.chain + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                plain.settimeout(10)
                with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as sock:
                    if sock.recv(4096):
                        sock.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_full_and_resumed(address: tuple[str, int]) -> None:
    client = Client(*address)
    assert [client.shake_hands() > 0 for _ in range(3)] == [True] * 3
    client.take_ticket()
    assert client.session is not None
    assert [client.shake_hands() > 0 for _ in range(3)] == [True] * 3


def test_one_that_is_not_of_the_kind_that_is_wanted_is_a_failure(address: tuple[str, int]) -> None:
    client = Client(*address)
    client.take_ticket()
    assert client.session is not None
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    stranger.maximum_version = ssl.TLSVersion.TLSv1_2
    client._context, client.session = stranger, None
    client.take_ticket()
    stranger.minimum_version, stranger.maximum_version = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3
    assert client.shake_hands() == -1
