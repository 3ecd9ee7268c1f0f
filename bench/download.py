"""Reads large responses on one connection, in big pieces, and prints the same line as `load` makes wrk print.

`python -m bench.download HOST PORT FILE COUNT [tls]`: FILE holds the request. wrk would read 8 KB at a time, and its
own CPU time would be what is measured.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from pathlib import Path

from bench.client import trusting
from bench.load import MARKER, percentile

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")


def fetch(sock: socket.socket, request: bytes, buffer: bytearray) -> bool:
    """One response, dropped as it comes. True if it is a whole one with status 200."""
    sock.sendall(request)
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(4096)
        if not piece:
            return False
        head += piece
    head, _, body = head.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    if length is None or head.split(b" ", 2)[1] != b"200":
        return False
    left = int(length[1]) - len(body)
    while left:
        count = sock.recv_into(buffer, min(left, len(buffer)))
        if not count:
            return False
        left -= count
    return True


def main(host: str, port: str, file: str, count: str, tls: str = "") -> None:
    request, buffer, times, failed = Path(file).read_bytes(), bytearray(1 << 18), list[float](), 0
    began = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=60) as plain:
        sock = trusting().wrap_socket(plain) if tls else plain
        for _ in range(int(count)):
            start = time.monotonic()
            if not fetch(sock, request, buffer):
                failed = 1
                break
            times.append((time.monotonic() - start) * 1e6)
    times.sort()

    figures = {
        "requests": len(times),
        "microseconds": (time.monotonic() - began) * 1e6,
        "p50": percentile(times, 0.5),
        "p99": percentile(times, 0.99),
        "p999": percentile(times, 0.999),
        "errors": {"not whole": failed},
    }
    print(MARKER + json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
