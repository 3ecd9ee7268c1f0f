"""A stream as one end of a relay, in memory: readiness, windows, ends and losses."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Callable

import pytest
import trio
import trio.testing

from proxy.http.h2_tunnel import StreamEnd
from proxy.net.pipe import Memory, PipePool
from proxy.net.relay import Direction, Idle, Relay
from proxy.net.relay_end import SocketEnd
from tests.kit.trio import run_trio


class Stream:
    """A `TunnelStream` whose peer is the test. `room`: the peer's window takes what is sent at once."""

    read_size = 100

    def __init__(self) -> None:
        self.arrived = b""
        self.ended = self.finished = self.lost = self.blocked = False
        self.sent: list[bytes] = []
        self.room = True
        self.failed: Callable[[], None] | None = None
        self._changed = trio.Event()

    def change(self, **fields: object) -> None:
        """Something happens to the stream."""
        for name, value in fields.items():
            setattr(self, name, value)
        self._changed.set()
        self._changed = trio.Event()
        if self.lost and self.failed is not None:
            self.failed()

    def take(self, size: int) -> bytes | None:
        data, self.arrived = self.arrived[:size], self.arrived[size:]
        return data if data or self.ended else None

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        self.blocked = not self.room

    def finish(self) -> None:
        self.finished = True

    def on_failure(self, call: Callable[[], None] | None) -> None:
        self.failed = call

    async def wait_arrival(self) -> None:
        while not (self.arrived or self.ended or self.lost):
            await self._changed.wait()

    async def wait_unblocked(self) -> None:
        while self.blocked and not self.lost:
            await self._changed.wait()


@run_trio
async def test_it_has_the_manners_of_a_socket() -> None:
    stream, counts = Stream(), [0, 0]

    def received(count: int) -> None:
        counts[0] += count

    def sent(count: int) -> None:
        counts[1] += count

    end, carrier = StreamEnd(stream, received, sent), Memory()
    assert (end.limit, end.splices) == (100, False)
    with pytest.raises(BlockingIOError):
        end.fill(carrier, 10)
    stream.change(arrived=b"0123456789ab")
    assert end.fill(carrier, 10) == 10
    end.empty(carrier)
    stream.change(room=False)
    assert end.fill(carrier, 10) == 2
    end.empty(carrier)
    assert (stream.sent, carrier.held, counts) == ([b"0123456789", b"ab"], 0, [12, 12])
    with pytest.raises(BlockingIOError):
        end.empty(Memory.holding(b"x"))
    stream.change(ended=True)
    assert end.fill(carrier, 10) == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.finish)
        await trio.testing.wait_all_tasks_blocked()
        assert not stream.finished  # before what waits for the window
        stream.change(blocked=False)
    assert stream.finished
    stream.change(lost=True)
    with pytest.raises(ConnectionResetError):
        end.empty(Memory.holding(b"x"))
    with pytest.raises(ConnectionResetError):
        await end.finish()
    assert end.fill(carrier, 10) == 0  # what came before is still told


@run_trio
async def test_a_loss_ends_the_relay_that_waits_for_other_things() -> None:
    """Afterwards nothing of it refers to anything in a circle."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = Stream()
    with trio.CancelScope() as scope:
        relay = Relay(*_directions(stream, ours), PipePool(), Idle(scope, 100))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.run)
            stream.change(arrived=b"hello")
            await trio.testing.wait_all_tasks_blocked()
            assert theirs.recv(5) == b"hello"
            stream.change(lost=True)
    assert (relay.reset_by, relay.ended_by, stream.failed) == ("downstream", "downstream", None)
    gc.disable()
    try:
        gone = weakref.ref(stream)
        del stream, relay
        assert gone() is None
    finally:
        gc.enable()
    ours.close()
    theirs.close()


def _directions(stream: Stream, sock: socket.socket) -> tuple[Direction, Direction]:
    def nothing(_: int) -> None:
        pass

    near, far = StreamEnd(stream, nothing, nothing), SocketEnd(sock, 65536, nothing, nothing)
    return Direction("downstream", near, far), Direction("upstream", far, near)
