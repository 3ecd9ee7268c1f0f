"""An origin behind the PROXY protocol, in plain text or TLS: it tells what it was told, as a response of HTTP."""

from __future__ import annotations

import socket
import ssl

from tests.kit.tunnel_origin import Threaded

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class ProxyReceiver(Threaded):
    """Answers every request with the header that its connection began with, in hexadecimal digits, or, `raw`, each
    connection with it alone. `headers` are all of them.
    """

    def __init__(self, *, context: ssl.SSLContext | None = None, raw: bool = False) -> None:
        super().__init__()
        self._context = context
        self._raw = raw
        self.headers: list[bytes] = []

    def serve(self, sock: socket.socket) -> None:
        told = _header(sock)
        self.headers.append(told)
        if self._raw:
            sock.sendall(told)
        elif self._context is None:
            _answer(sock, told)
        else:
            with self._context.wrap_socket(sock, server_side=True) as secured:
                _answer(secured, told)


def _answer(sock: socket.socket, told: bytes) -> None:
    """Every request with the header that its connection began with."""
    body = told.hex().encode()
    head = b""
    while data := sock.recv(65536):
        head += data
        if head.endswith(b"\r\n\r\n"):
            head = b""
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


def _header(sock: socket.socket) -> bytes:
    """As its length says, and not a byte more."""
    told = _exactly(sock, len(_SIGNATURE))
    if told == _SIGNATURE:
        told += _exactly(sock, 4)
        return told + _exactly(sock, int.from_bytes(told[-2:], "big"))
    while not told.endswith(b"\r\n"):
        told += _exactly(sock, 1)
    return told


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data
