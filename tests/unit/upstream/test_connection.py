"""One connection: whole sends, bounded reads, and what counts as a lost peer."""

from __future__ import annotations

import socket
import struct

import pytest
import trio

from proxy.http.codec_h1_client import H1ClientCodec
from proxy.stats import MemoryStats
from proxy.upstream.connection import READ_SIZE, ConnectionLost
from proxy.upstream.http1_connection import Http1Connection
from proxy.upstream.stats import ClusterStats
from tests.kit.trio import run_trio

LINGER_RESET = struct.pack("ii", 1, 0)


class Ends:
    """A connection and its peer's socket."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            self.peer, _ = listener.accept()
        for sock in (ours, self.peer):
            sock.setblocking(False)
        self.ours = ours
        self.memory = MemoryStats()
        self.connection = Http1Connection(ours, H1ClientCodec(), ClusterStats(self.memory, "c"))

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.peer.close()

    def reset(self) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        self.peer.close()


async def read_exactly(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        await trio.lowlevel.wait_readable(sock)
        data += sock.recv(1 << 20)
    return data


@run_trio
async def test_a_send_larger_than_every_buffer() -> None:
    payload = bytes(range(256)) * 64 * 1024
    with Ends() as ends:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ends.connection.send, payload)
            assert await read_exactly(ends.peer, len(payload)) == payload
        assert ends.memory.value("cluster.c.upstream_cx_tx_bytes_total") == len(payload)


@run_trio
async def test_reads_are_bounded() -> None:
    with Ends() as ends:
        sent = ends.peer.send(bytes(3 * READ_SIZE))
        pieces = []
        while sum(map(len, pieces)) < sent:
            pieces.append(await ends.connection.receive())
        assert max(map(len, pieces)) <= READ_SIZE
        assert ends.memory.value("cluster.c.upstream_cx_rx_bytes_total") == sent
        ends.peer.shutdown(socket.SHUT_WR)
        assert await ends.connection.receive() == b""


@run_trio
async def test_receive_lets_others_run_even_if_bytes_are_there() -> None:
    with Ends() as ends:
        ends.peer.send(bytes(10 * READ_SIZE))
        ran = False

        async def other() -> None:
            nonlocal ran
            ran = True

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            for _ in range(2):
                await ends.connection.receive()
            assert ran


@run_trio
async def test_a_reset_is_a_lost_connection() -> None:
    with Ends() as ends:
        ends.reset()
        with pytest.raises(ConnectionLost):
            await ends.connection.receive()
        with pytest.raises(ConnectionLost):
            await ends.connection.send(b"x")
        assert not ends.connection.is_quiet()


@run_trio
async def test_our_own_mistakes_are_no_lost_connection() -> None:
    with Ends() as ends:
        ends.connection.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            await ends.connection.send(b"x")


@pytest.mark.parametrize(("event", "quiet"), [("none", True), ("bytes", False), ("end", False), ("reset", False)])
@run_trio
async def test_is_quiet(event: str, quiet: bool) -> None:
    with Ends() as ends:
        if event == "bytes":
            ends.peer.send(b"x")
        elif event == "end":
            ends.peer.shutdown(socket.SHUT_WR)
        elif event == "reset":
            ends.reset()
        if not quiet:
            await ends.connection.watch.wait_readable()
        assert ends.connection.is_quiet() is quiet
        if event == "bytes":  # it looks, and takes nothing
            assert await ends.connection.receive() == b"x"
