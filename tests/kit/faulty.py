"""Hosts that are not well, in threads of the test: each connection is served by the fault that the host has."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
DOWN = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\ndown"
SPELL = 4
"""Requests for which a flapping host fails, and then does well."""


def _head(sock: socket.socket) -> bool:
    """Reads one request; False if the peer has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return False
        data += piece
    return True


class Faulty:
    """A listening host with a `fault`: `hangs`, `cuts` (resets in the middle of a body), `babbles` (says what is no
    HTTP), `flaps` (fails for some requests, does well for some). `requests` counts what came.
    """

    def __init__(self, fault: str) -> None:
        self._serve: Callable[[socket.socket], None] = getattr(self, f"_{fault}")
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._numbers = itertools.count()
        self._end = threading.Event()
        self.requests = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while not self._end.is_set() and _head(sock):
                self.requests += 1
                self._serve(sock)

    def _hangs(self, sock: socket.socket) -> None:
        while sock.recv(65536):
            pass

    def _cuts(self, sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def _babbles(self, sock: socket.socket) -> None:
        sock.sendall(b"\x00\x01 what is this\r\n\r\n")
        sock.close()

    def _flaps(self, sock: socket.socket) -> None:
        sock.sendall(OK if next(self._numbers) // SPELL % 2 else DOWN)
