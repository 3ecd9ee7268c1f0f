"""Clients that shake hands again and again, in threads of the test: whose certificate each saw, and what failed."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Self

from cryptography import x509

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


def meet(address: tuple[str, int], context: ssl.SSLContext, name: str) -> int:
    """One connection with one answered request: the serial number of the certificate. Raises `OSError`."""
    with (
        socket.create_connection(address, timeout=10) as sock,
        context.wrap_socket(sock, server_hostname=name) as secure,
    ):
        secure.sendall(REQUEST)
        answer = b""
        while data := secure.recv(4096):
            answer += data
        if b" 200 OK\r\n" not in answer:
            raise ConnectionError(f"no whole answer: {answer!r}")
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"").serial_number


class HandshakeLoad:
    """From construction to the end of the block: `with HandshakeLoad(address, context, "a.test") as load: …`."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, name: str, *, clients: int = 2) -> None:
        self.serials: list[int] = []
        self.failures: list[str] = []
        self._target = address, context, name
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.serials.append(meet(*self._target))
            except OSError as error:
                self.failures.append(repr(error))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(20)
