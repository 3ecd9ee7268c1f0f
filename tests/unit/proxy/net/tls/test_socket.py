"""A TLS socket has the manners of a plain one: nothing there, a peek, a half close, an end with and without a word."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from proxy.config.tls import Certificate, DownstreamTls
from proxy.net.tls.server import ServerTls
from proxy.net.tls.socket import TlsSocket
from proxy.net.tls.stats import TlsStats
from proxy.stats import MemoryStats
from tests.kit.certificates import Authority


class Both(NamedTuple):
    server: TlsSocket
    client: ssl.SSLSocket


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def both(authority: Authority) -> Iterator[Both]:
    pair = authority.issue("a.test")
    tls = ServerTls(DownstreamTls((Certificate(pair.chain.encode(), pair.key.encode()),)), TlsStats(MemoryStats(), ""))
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    server = tls.wrap(ours)
    client = authority.client().wrap_socket(theirs, server_hostname="a.test", do_handshake_on_connect=False)
    for _ in range(10):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    with contextlib.suppress(ssl.SSLWantReadError):
        client.recv(1)  # its tickets
    client.setblocking(True)
    yield Both(server, client)
    server.close()
    client.close()


def test_nothing_yet(both: Both) -> None:
    assert both.server.server_name == "a.test"
    with pytest.raises(BlockingIOError):
        both.server.recv(100)
    with pytest.raises(BlockingIOError):
        both.server.recv(1, socket.MSG_PEEK)


def test_a_peek_takes_nothing(both: Both) -> None:
    both.client.sendall(b"hello")
    assert both.server.recv(1, socket.MSG_PEEK) == b"h"
    both.client.sendall(b" world")
    assert both.server.recv(3) == b"hel"
    assert both.server.recv(100) == b"lo"
    assert both.server.recv(100) == b" world"


def test_records_beyond_one_read(both: Both) -> None:
    both.client.sendall(b"x" * 40_000)
    received = b""
    with contextlib.suppress(BlockingIOError):
        while data := both.server.recv(65536):
            received += data
    assert len(received) == 40_000


def test_two_buffers_and_a_full_socket(both: Both) -> None:
    both.client.settimeout(5)
    assert both.server.sendmsg((b"head", memoryview(b"body"))) == 8
    assert both.client.recv(100) == b"headbody"
    bulk = bytes(range(256)) * 20_000
    with pytest.raises(BlockingIOError):
        both.server.send(bulk)
    received, sent = b"", 0
    while len(received) < len(bulk):
        received += both.client.recv(65536)
        if not sent:
            with contextlib.suppress(BlockingIOError):
                sent = both.server.send(bulk)
    assert (received == bulk, sent) == (True, len(bulk))


def test_our_end_is_told_and_theirs_still_read(both: Both) -> None:
    both.server.shutdown(socket.SHUT_WR)
    assert both.client.recv(100) == b""
    both.client.sendall(b"still here")
    assert both.server.recv(100) == b"still here"


def test_an_end_with_a_word(both: Both) -> None:
    with contextlib.suppress(OSError):
        both.client.settimeout(0.01)
        both.client.unwrap()
    assert both.server.recv(100) == b""


def test_an_end_without_a_word(both: Both) -> None:
    os.close(both.client.detach())
    assert both.server.recv(100) == b""


def test_what_is_no_record_ends_it(both: Both) -> None:
    socket.socket.send(both.client, b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(OSError, match="reset") as caught:
        both.server.recv(100)
    assert caught.value.errno == errno.ECONNRESET
