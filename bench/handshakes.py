"""TLS connections that end with their handshakes; prints the same line as `load` makes wrk print.

`python -m bench.handshakes HOST PORT COUNT full|resumed`. A resumed one begins with the ticket of a first connection.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bench.client import trusting
from bench.load import MARKER, percentile

_AT_ONCE = 4


class Client:
    """`session`: what to resume, None to begin anew."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._context = trusting()
        self.session: ssl.SSLSession | None = None

    def take_ticket(self) -> None:
        """One connection with an answer on it, since tickets come behind the handshake (RFC 8446 4.6.1)."""
        with socket.create_connection(self._address, timeout=10) as plain, self._context.wrap_socket(plain) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: ticket\r\nConnection: close\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(65536):
                    pass
            self.session = sock.session

    def shake_hands(self) -> float:
        """One handshake; its time in µs, or -1 if it was not of the kind that was wanted."""
        start = time.monotonic()
        plain = socket.create_connection(self._address, timeout=10)
        with self._context.wrap_socket(plain, session=self.session) as sock:
            if sock.session_reused is not (self.session is not None):
                return -1.0
        return (time.monotonic() - start) * 1e6


def main(host: str, port: str, count: str, how: str) -> None:
    client = Client(host, int(port))
    if how == "resumed":
        client.take_ticket()
    began = time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        times = sorted(pool.map(lambda _: client.shake_hands(), range(int(count))))
    figures = {
        "requests": len(times),
        "microseconds": (time.monotonic() - began) * 1e6,
        "p50": percentile(times, 0.5),
        "p99": percentile(times, 0.99),
        "p999": percentile(times, 0.999),
        "errors": {f"not {how}": sum(taken < 0 for taken in times)},
    }
    print(MARKER + json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
