"""Single steps between a connection and a pipe."""

from __future__ import annotations

import socket

import pytest
import trio

from proxy.errors import Flag, ProxyError
from proxy.net import passage
from proxy.net.pipe import Memory, Pipe
from tests.kit.trio import run_trio
from tests.unit.proxy.net.test_connection import pair

CARRIERS = pytest.mark.parametrize("make", [Pipe, Memory])


@run_trio
@CARRIERS
async def test_bytes_are_taken_up_to_the_limit_and_counted(make: type[passage.Carrier]) -> None:
    with pair() as (connection, peer):
        carrier = make()
        assert passage.fill(carrier, connection, 10) is None
        peer.sendall(b"0123456789ab")
        await connection.wait_readable()
        assert passage.fill(carrier, connection, 10) == carrier.held == connection.bytes_received == 10
        carrier.close()
        assert await connection.receive() == b"ab"


@run_trio
@CARRIERS
async def test_nothing_found_is_waited_for(make: type[passage.Carrier]) -> None:
    with pair() as (connection, peer):
        carrier = make()
        peer.sendall(b"ab")
        for expected in (2, None):
            await connection.wait_readable()  # a short splice does not say that there is no more
            assert passage.fill(carrier, connection, 10) == expected
        with trio.move_on_after(0.01) as scope:
            await connection.wait_readable()
        assert scope.cancelled_caught
        peer.close()
        await connection.wait_readable()
        assert passage.fill(carrier, connection, 10) == 0
        carrier.close()


@run_trio
@CARRIERS
async def test_a_slow_sink_is_waited_for_and_each_part_is_told(make: type[passage.Carrier]) -> None:
    told = 0

    def moved() -> None:
        nonlocal told
        told += 1

    with pair() as (source, sender), pair() as (sink, reader):
        sink.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sender.setblocking(False)
        sent = sender.send(bytes(100_000))
        await source.wait_readable()
        carrier = make()
        while carrier.held < sent and isinstance(carrier, Pipe):
            assert passage.fill(carrier, source, sent)
        if isinstance(carrier, Memory):
            passage.fill(carrier, source, sent)
        size = carrier.held
        async with trio.open_nursery() as nursery:
            nursery.start_soon(passage.empty, carrier, sink, moved)
            got = 0
            while got < size:
                await trio.lowlevel.wait_readable(reader)
                got += len(reader.recv(2000))
        assert carrier.held == 0
        assert sink.bytes_sent == got == size
        assert told > 1
        carrier.close()


@run_trio
@CARRIERS
async def test_a_peer_that_is_gone(make: type[passage.Carrier]) -> None:
    with pair() as (source, sender), pair() as (sink, reader):
        sender.sendall(b"x")
        await source.wait_readable()
        carrier = make()
        passage.fill(carrier, source, 10)
        reader.close()
        with pytest.raises(ProxyError) as caught:
            await passage.empty(carrier, sink, lambda: None)
        assert caught.value.flag is Flag.DOWNSTREAM_CONNECTION_TERMINATION
        assert carrier.held == 1
        carrier.close()
