"""Bodies stream both ways at the pace of the slower peer, and the proxy's memory stays flat.

`TRIREME_STREAM_BYTES` makes the transfer larger (2147483648 for the promise of 2 GB each way).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.process import KitProcess

SIZE = int(os.environ.get("TRIREME_STREAM_BYTES", 96 * 1024 * 1024))
PIECE = 1 << 18
UNDER_WAY = SIZE * 3 // 4  # what four sockets' kernel buffers may hold, and less than all of it
GROWTH = 4 * 1024 * 1024
PACE = min(SIZE / 6.0, 64e6)  # bytes a second of the slow peer: the transfer takes some 6 s


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Pace:
    """Lets `PACE` bytes a second pass; `moved` counts them."""

    def __init__(self) -> None:
        self.moved = 0
        self._begun = time.monotonic()

    def wait(self, count: int) -> None:
        self.moved += count
        ahead = self.moved / PACE - (time.monotonic() - self._begun)
        if ahead > 0:
            time.sleep(ahead)


@contextmanager
def accepting(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """An origin for one connection, in a thread; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            connection, _ = server.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join()


def read_head(connection: socket.socket) -> bytes:
    """A head; what came behind it is returned."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    return data.partition(b"\r\n\r\n")[2]


def send_all(connection: socket.socket, sent: list[int]) -> None:
    """`SIZE` bytes as fast as they go; `sent[0]` counts them."""
    piece = bytes(PIECE)
    while sent[0] < SIZE:
        sent[0] += connection.send(piece[: min(PIECE, SIZE - sent[0])])


def watch(pid: int, running: threading.Thread, sent: list[int], read: Pace) -> tuple[int, int]:
    """The most that the process grew, and the most that was under way between the peers (bytes)."""
    start = memory(pid)
    growth = under_way = 0
    while running.is_alive():
        growth = max(growth, memory(pid) - start)
        under_way = max(under_way, sent[0] - read.moved)
        time.sleep(0.01)
    return growth, under_way


@contextmanager
def through(serve: Callable[[socket.socket], None]) -> Iterator[tuple[KitProcess, socket.socket]]:
    """The proxy in front of an origin, and a client connected to it."""
    with (
        accepting(serve) as origin,
        KitProcess("tests.integration.serve", [str(origin)]) as proxy,
        socket.create_connection(("127.0.0.1", proxy.read_json()["port"])) as client,
    ):
        yield proxy, client


def test_an_upload_goes_at_the_pace_of_a_slow_origin() -> None:
    pace, sent = Pace(), [0]

    def slow(connection: socket.socket) -> None:
        pace.moved = len(read_head(connection))
        while pace.moved < SIZE:
            pace.wait(len(connection.recv(PIECE)))
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    with through(slow) as (proxy, client):
        client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % SIZE)
        upload = threading.Thread(target=send_all, args=(client, sent))
        upload.start()
        growth, under_way = watch(proxy.pid, upload, sent, pace)
        upload.join()
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
    print(f"upload of {SIZE}: memory +{growth >> 10} KiB, at most {under_way >> 10} KiB under way")
    assert sent[0] == pace.moved == SIZE
    assert growth < GROWTH
    assert under_way < UNDER_WAY


def test_a_download_goes_at_the_pace_of_a_slow_client() -> None:
    pace, sent = Pace(), [0]

    def fast(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE)
        send_all(connection, sent)

    with through(fast) as (proxy, client):
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        pace.moved = len(read_head(client))

        def slow() -> None:
            while pace.moved < SIZE:
                pace.wait(len(client.recv(PIECE)))

        download = threading.Thread(target=slow)
        download.start()
        growth, under_way = watch(proxy.pid, download, sent, pace)
        download.join()
    print(f"download of {SIZE}: memory +{growth >> 10} KiB, at most {under_way >> 10} KiB under way")
    assert sent[0] == pace.moved == SIZE
    assert growth < GROWTH
    assert under_way < UNDER_WAY
