"""Hosts with which no TLS handshake succeeds, each in a way of its own, in threads of the test's own."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.kit.certificates import Authority, Pair

Fault = Callable[[socket.socket], None]
_RESET = struct.pack("ii", 1, 0)


class FaultyHosts:
    """`with FaultyHosts(…) as hosts: hosts.ports["closes"]`.

    `closes` and `resets` do so when they have been greeted, `plain` answers in HTTP, `silent` never, `new` speaks TLS
    1.3 alone, `nameless` knows no server name, `demands` wants a client's certificate of `authority`.
    """

    def __init__(self, directory: Path, pair: Pair, authority: Authority) -> None:
        path = directory / "faulty.pem"
        path.write_text(pair.chain + pair.key)

        def context() -> ssl.SSLContext:
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            made.load_cert_chain(path)
            return made

        new, nameless, demands = context(), context(), context()
        new.minimum_version = ssl.TLSVersion.TLSv1_3
        nameless.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        demands.verify_mode = ssl.CERT_REQUIRED
        demands.load_verify_locations(cadata=authority.pem)
        faults: dict[str, Fault] = {
            "closes": lambda sock: _read_greeting(sock),
            "resets": lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET),
            "plain": _answer_in_http,
            "silent": lambda sock: _drain(sock),
            "new": lambda sock: _shake(sock, new),
            "nameless": lambda sock: _shake(sock, nameless),
            "demands": lambda sock: _shake(sock, demands),
        }
        self._listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in faults}
        self.ports: dict[str, int] = {name: each.getsockname()[1] for name, each in self._listeners.items()}
        self._threads = [
            threading.Thread(target=_accept, args=(self._listeners[name], fault), daemon=True)
            for name, fault in faults.items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for listener in self._listeners.values():
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in self._threads:
            thread.join(5)


def _accept(listener: socket.socket, fault: Fault) -> None:
    with contextlib.suppress(OSError):
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_serve, args=(sock, fault), daemon=True).start()


def _serve(sock: socket.socket, fault: Fault) -> None:
    with sock, contextlib.suppress(OSError):
        sock.recv(5, socket.MSG_PEEK | socket.MSG_WAITALL)
        fault(sock)


def _shake(sock: socket.socket, context: ssl.SSLContext) -> None:
    """A client that is turned away hears the alert, and no reset before it."""
    with sock.dup() as same:
        try:
            with context.wrap_socket(sock, server_side=True) as secure:
                _drain(secure)
        except ssl.SSLError:
            same.shutdown(socket.SHUT_WR)
            _drain(same)


def _answer_in_http(sock: socket.socket) -> None:
    _read_greeting(sock)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")


def _read_greeting(sock: socket.socket) -> None:
    """All of it: an end with bytes unread would be a reset."""
    head = sock.recv(5, socket.MSG_WAITALL)
    sock.recv(int.from_bytes(head[3:]), socket.MSG_WAITALL)


def _drain(sock: socket.socket) -> None:
    """Until the client has gone."""
    while sock.recv(65536):
        pass
