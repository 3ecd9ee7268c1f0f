"""What is left to be said when an HTTP/2 connection ends."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from typing import cast

import trio

from proxy.filters.network.hcm_h2_writer import Http2Writer
from proxy.http.codec_h2_server import H2ServerCodec
from proxy.net.connection import Connection
from tests.unit.proxy.filters.network.test_hcm_h2 import virtual

PATIENCE = 1.0
LAST_WORDS = bytes(range(256)) * 4096


class Codec:
    """Has something to say."""

    has_output = True

    def take_output(self) -> bytes:
        self.has_output = False
        return LAST_WORDS


@contextlib.asynccontextmanager
async def ending() -> AsyncIterator[tuple[Http2Writer, socket.socket]]:
    """A writer whose connection takes little at a time, and the client."""
    ours, client = socket.socketpair()
    with client:
        ours.setblocking(False)
        client.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection = Connection(ours)
        writer = Http2Writer(connection, cast(H2ServerCodec, Codec()), lambda: None, lambda: None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            yield writer, client
            nursery.cancel_scope.cancel()
        assert connection.bytes_sent < len(LAST_WORDS) or not writer.stuck
        connection.close()


@virtual
async def test_a_client_that_reads_slowly_gets_all_of_it() -> None:
    heard = bytearray()

    async def read() -> None:
        while True:
            await trio.sleep(PATIENCE * 0.9)
            with contextlib.suppress(BlockingIOError):
                while piece := client.recv(65536):
                    heard.extend(piece)
                client.close()
                return

    async with ending() as (writer, client), trio.open_nursery() as nursery:
        nursery.start_soon(read)
        assert await writer.finish(PATIENCE)
    assert heard == LAST_WORDS


@virtual
async def test_a_client_that_does_not_read_is_given_up() -> None:
    async with ending() as (writer, _):
        began = trio.current_time()
        assert not await writer.finish(PATIENCE)
        assert trio.current_time() - began <= 3 * PATIENCE
        assert writer.stuck


@virtual
async def test_a_client_that_does_not_go_is_given_up() -> None:
    async with ending() as (writer, client), trio.open_nursery() as nursery:

        async def read() -> None:
            heard = 0
            while heard < len(LAST_WORDS):
                await trio.lowlevel.wait_readable(client)
                heard += len(client.recv(65536))

        nursery.start_soon(read)
        assert not await writer.finish(PATIENCE)
        assert not writer.stuck
