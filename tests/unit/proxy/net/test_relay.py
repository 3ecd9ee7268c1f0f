"""The relay on socket pairs: pipes and memory alike, and its coarse idle deadline."""

from __future__ import annotations

import errno
import os
import socket

import pytest
import trio
from trio.testing import MockClock

from proxy.net.pipe import Memory, Pipe, PipePool
from proxy.net.relay import Direction, Idle, Relay
from proxy.net.relay_end import Count, SocketEnd
from tests.kit.leaks import no_leaks, open_fds
from tests.kit.trio import run_trio


class Sockets:
    """A client and an origin with a relay between them."""

    def __init__(self) -> None:
        self.client, self.downstream = _pair()
        self.origin, self.upstream = _pair()
        self.counts = [0, 0, 0, 0, 0]

    def relay(self, pipes: PipePool, idle: Idle) -> Relay:
        def count(place: int) -> Count:
            def add(amount: int) -> None:
                self.counts[place] += amount

            return add

        near = SocketEnd(self.downstream, 65536, count(0), count(3))
        far = SocketEnd(self.upstream, 65536, count(2), count(1))
        first = Direction("downstream", near, far, blocked=count(4))
        return Relay(first, Direction("upstream", far, near, blocked=count(4)), pipes, idle)

    def close(self) -> None:
        for sock in (self.client, self.downstream, self.origin, self.upstream):
            sock.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    return left, right


@run_trio
@pytest.mark.parametrize("splice", [True, False])
async def test_both_ways_to_the_end(splice: bool) -> None:
    with no_leaks():
        sockets, pipes = Sockets(), PipePool(splice=splice)
        data = os.urandom(1_000_003)
        with trio.CancelScope() as scope:
            relay = sockets.relay(pipes, Idle(scope, 10))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(relay.run)
                client = trio.SocketStream(trio.socket.from_stdlib_socket(sockets.client.dup()))
                origin = trio.SocketStream(trio.socket.from_stdlib_socket(sockets.origin.dup()))

                async def send() -> None:
                    await client.send_all(data)
                    await client.send_eof()

                nursery.start_soon(send)
                got = b"".join([part async for part in origin])
                await origin.send_all(b"answer")
                await origin.send_eof()
                assert b"".join([part async for part in client]) == b"answer"
        assert got == data
        assert sockets.counts == [len(data), len(data), 6, 6, 0]
        assert (relay.last, relay.reset_by) == ("upstream", None)
        await client.aclose()
        await origin.aclose()
        sockets.close()
        pipes.close()


@run_trio
async def test_without_descriptors_memory_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(flags: int) -> tuple[int, int]:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "pipe2", refuse)
    assert isinstance(PipePool().take(), Memory)


def test_a_pipe_with_bytes_in_it_is_not_given_out_again() -> None:
    left, right = _pair()
    pipes = PipePool()
    before = open_fds()
    carrier = pipes.take()
    assert isinstance(carrier, Pipe)
    left.send(b"secret")
    assert carrier.fill(right, 100) == 6
    pipes.put(carrier)
    assert open_fds() == before
    left.close()
    right.close()


def test_the_idle_deadline_is_never_early_and_a_little_late() -> None:
    async def main() -> None:
        for timeout, latest in ((64.0, 65.0), (0.32, 0.33)):
            with trio.CancelScope() as scope:
                idle = Idle(scope, timeout)
                for _ in range(50):
                    await trio.sleep(timeout / 100)
                    idle.touch()
                last = trio.current_time()
                await trio.sleep_forever()
            assert timeout <= trio.current_time() - last <= latest + 0.001

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_no_idle_timeout_and_a_fixed_end() -> None:
    async def main() -> None:
        with trio.CancelScope() as scope:
            end = trio.current_time() + 100
            idle = Idle(scope, 0, end=end)
            while True:
                await trio.sleep(7)
                idle.touch()
        assert trio.current_time() == end

    trio.run(main, clock=MockClock(autojump_threshold=0))
