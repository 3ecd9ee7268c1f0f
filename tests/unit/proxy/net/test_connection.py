"""A connection on a socket pair: back-pressure, ends, resets, and closing without a reset."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from proxy.config.common import PipeAddress, SocketAddress
from proxy.errors import Flag, ProxyError
from proxy.limits import FAIR_BURST, LEAST_READ, LINGER_BYTES, READ_SIZE
from proxy.net.connection import Connection
from proxy.stats import MemoryStats
from tests.kit.trio import run_trio


@contextmanager
def pair(*, tcp: bool = False, buffer_limit: int = 65536) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection and the peer's non-blocking socket."""
    if tcp:
        with socket.create_server(("127.0.0.1", 0)) as server:
            peer = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
    else:
        ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    connection = Connection(ours, trio.CancelScope(), buffer_limit=buffer_limit)
    try:
        yield connection, peer
    finally:
        connection.close()
        peer.close()


@run_trio
async def test_bytes_pass_and_are_counted() -> None:
    stats = MemoryStats()
    with pair(buffer_limit=4) as (connection, peer):
        connection.count_bytes(stats.counter("rx"), stats.counter("tx"))
        peer.send(b"hello")
        assert connection.has_input()
        assert await connection.receive() == b"hell"
        assert await connection.receive() == b"o"
        assert not connection.has_input()
        await connection.send(b"bye")
        assert peer.recv(9) == b"bye"
        assert (connection.bytes_received, connection.bytes_sent) == (5, 3)
        assert (stats.value("rx"), stats.value("tx")) == (5, 3)


@run_trio
async def test_the_end_is_empty_bytes() -> None:
    with pair() as (connection, peer):
        peer.shutdown(socket.SHUT_WR)
        await connection.wait_readable()
        assert not connection.has_input()
        assert await connection.receive() == b""
        assert connection.closed_by_peer


@run_trio
async def test_send_waits_for_a_slow_reader_and_holds_nothing_back() -> None:
    data = bytes(range(256)) * 8192  # more than both socket buffers
    got = bytearray()
    with pair() as (connection, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.send, data)
            await wait_all_tasks_blocked()
            assert connection.bytes_sent < len(data)
            while len(got) < len(data):
                await trio.lowlevel.wait_readable(peer)
                got += peer.recv(100_000)
        assert bytes(got) == data
        assert connection.bytes_sent == len(data)


@run_trio
async def test_a_send_that_was_cancelled_leaves_its_mark() -> None:
    with pair() as (connection, peer):
        await connection.send(b"whole")
        assert not connection.sending
        with trio.move_on_after(0.01):
            await connection.send(bytes(10_000_000))
        assert connection.sending
        assert peer.recv(5) == b"whole"


@run_trio
async def test_a_peer_that_is_gone_is_a_proxy_error() -> None:
    with pair() as (connection, peer):
        peer.close()
        with pytest.raises(ProxyError) as caught:
            await connection.send(b"x")
        assert caught.value.flag is Flag.DOWNSTREAM_CONNECTION_TERMINATION
        assert caught.value.status == 0
        assert connection.closed_by_peer


@run_trio
async def test_a_reset_is_a_proxy_error_on_receive() -> None:
    with pair(tcp=True) as (connection, peer):
        await connection.send(b"unread")
        peer.close()  # with unread bytes: the kernel resets
        await connection.wait_readable()
        with pytest.raises(ProxyError):
            await connection.receive()


@run_trio
async def test_a_busy_connection_lets_the_others_run() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    with pair() as (connection, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            for _ in range(FAIR_BURST * 4):
                peer.send(b"x")
                await connection.receive()
            nursery.cancel_scope.cancel()
    assert turns >= 2


@run_trio
async def test_linger_ends_with_the_peer_and_drops_what_it_sends() -> None:
    with pair() as (connection, peer):
        await connection.send(b"last words")
        peer.send(b"too late")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.linger)
            await wait_all_tasks_blocked()
            assert peer.recv(99) == b"last words"
            assert peer.recv(99) == b""
            peer.close()


@run_trio
async def test_linger_reads_no_more_than_its_limit() -> None:
    with pair() as (connection, peer):

        async def flood() -> None:
            with suppress(BrokenPipeError):
                while True:
                    await trio.lowlevel.wait_writable(peer)
                    peer.send(bytes(65536))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await connection.linger()
            connection.close()
        assert LINGER_BYTES <= connection.bytes_received <= LINGER_BYTES + 65536


@run_trio
async def test_linger_after_the_peer_has_gone() -> None:
    with pair(tcp=True) as (connection, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        await connection.wait_readable()
        await connection.linger()


@run_trio
async def test_addresses() -> None:
    with pair(tcp=True) as (connection, peer):
        assert connection.local == SocketAddress(*peer.getpeername())
        assert connection.remote == SocketAddress(*peer.getsockname())
    with pair() as (connection, _):
        assert connection.local == connection.remote == PipeAddress("")


def test_the_deadline_is_rewritten_for_each_phase() -> None:
    async def check() -> None:
        with trio.CancelScope() as scope:
            connection = Connection(socket.socket(), scope)
            connection.deadline(5)
            await trio.sleep(4)
            connection.deadline(5)
            await trio.sleep(4)
            connection.deadline(0)
            await trio.sleep(10_000)
            connection.deadline(1)
            try:
                await trio.sleep_forever()
            finally:
                connection.close()
                connection.close()
        assert scope.cancelled_caught
        assert trio.current_time() - begun == pytest.approx(10_009)

    clock = trio.testing.MockClock(autojump_threshold=0)
    begun = clock.current_time()
    trio.run(check, clock=clock)


@run_trio
async def test_a_costly_connection_is_read_in_smaller_pieces() -> None:
    with pair(buffer_limit=READ_SIZE) as (connection, peer):
        peer.send(bytes(READ_SIZE))
        for _ in range(5):
            connection.pace(slower=True)
        assert len(await connection.receive()) == LEAST_READ
        connection.pace(slower=False)
        assert len(await connection.receive()) == 2 * LEAST_READ
        for _ in range(10):
            connection.pace(slower=False)
        assert len(await connection.receive()) == READ_SIZE - 3 * LEAST_READ
        peer.send(bytes(READ_SIZE + 1))
        assert len(await connection.receive()) == READ_SIZE
