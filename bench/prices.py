"""How the price list measures: CPU time of hot loops, and what the kernel and trio take for themselves."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Awaitable, Callable

import trio

CALLS = 20_000
ROUNDS = 7


def seconds(call: Callable[[], object], calls: int = CALLS) -> float:
    """CPU time of one call, less that of a call that does nothing.

    Of the best of some rounds: what a step costs, not what a busy machine makes of it.
    """

    def best(run: Callable[[], object]) -> float:
        found = float("inf")
        for _ in range(ROUNDS):
            began = time.process_time()
            for _ in range(calls):
                run()
            found = min(found, time.process_time() - began)
        return found / calls

    return best(call) - best(lambda: None)


async def seconds_of(call: Callable[[], Awaitable[object]], calls: int = CALLS // 4) -> float:
    """The same of one that waits."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(calls):
            await call()
        best = min(best, time.process_time() - began)
    return best / calls


def show(step: str, price: float, times: int = 1) -> float:
    """One line; returns what it comes to per request, in seconds."""
    print(f"  {step:<72} {price * 1e6:7.2f}{f' × {times}' if times > 1 else ''}")
    return price * times


def of_sockets(data: bytes) -> tuple[float, float, float]:
    """`send` and `recv` of `data` over loopback, while nobody waits for it, and a `recv` that finds nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = socket.create_connection(listening.getsockname())
        other, _ = listening.accept()
    for sock in (one, other):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sending = receiving = float("inf")
    for _ in range(20 * ROUNDS):
        began = time.process_time()
        for _ in range(100):
            one.send(data)
        middle = time.process_time()
        for _ in range(100):
            other.recv(len(data))
        receiving = min(receiving, (time.process_time() - middle) / 100)
        sending = min(sending, (middle - began) / 100)

    def nothing() -> None:
        with contextlib.suppress(BlockingIOError):
            other.recv(65536)

    with one, other:
        return sending, receiving, seconds(nothing)


async def of_an_event() -> float:
    """What it takes to wake the poller, for however many events: it waits in trio once more, and asks its own epoll."""
    one, other = socket.socketpair()
    with one, other, select.epoll() as epoll:
        epoll.register(one.fileno(), select.EPOLLIN)
        other.send(b"x")

        async def wait() -> None:
            await trio.lowlevel.wait_readable(epoll.fileno())
            epoll.poll(0, 128)

        return await seconds_of(wait)


async def of_trio() -> None:
    """Prints what the lane does without."""

    async def nothing() -> None:
        pass

    async def limited() -> None:
        with trio.move_on_after(10):
            await trio.lowlevel.checkpoint()

    async def two_children() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nothing)
            nursery.start_soon(nothing)

    scope = trio.CancelScope()

    def rewrite() -> None:
        scope.deadline = trio.current_time() + 10

    with scope:
        await trio.lowlevel.checkpoint()
        show("a deadline rewritten", seconds(rewrite))
    checkpoint = await seconds_of(trio.lowlevel.checkpoint)
    show("a checkpoint", checkpoint)
    show("move_on_after", await seconds_of(limited) - checkpoint)
    show("a nursery with two children", await seconds_of(two_children, CALLS // 10))
