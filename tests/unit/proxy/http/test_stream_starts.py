"""A few streams begin in each turn of the loop, and those who wait take turns."""

from __future__ import annotations

import trio

from proxy.http.stream_starts import stream_starts
from proxy.limits import STREAM_BURST
from tests.integration.test_fields import virtual


async def turn() -> None:
    for _ in range(3):  # a task that is woken runs one turn later, at any place within it
        await trio.lowlevel.checkpoint()


@virtual
async def test_a_turn_has_its_share_and_the_next_one_its_own() -> None:
    starts = stream_starts()
    await turn()
    for _ in range(2):
        assert [starts.take() for _ in range(STREAM_BURST + 1)] == [True] * STREAM_BURST + [False]
        await turn()


@virtual
async def test_those_who_wait_take_turns() -> None:
    starts, order = stream_starts(), []
    await turn()
    left = {"a": 3, "b": 2}

    def start(name: str) -> bool:
        order.append(name)
        left[name] -= 1
        return left[name] > 0

    starts.wait(lambda: start("a"))
    starts.wait(lambda: start("b"))
    assert not starts.take()  # nobody comes before them
    await turn()
    assert order == ["a", "b", "a", "b", "a"]
    await turn()
    assert starts.take()


@virtual
async def test_more_than_a_turn_holds_wait_for_the_next() -> None:
    starts, begun = stream_starts(), []
    await turn()

    def start() -> bool:
        begun.append(None)
        return len(begun) < 5 * STREAM_BURST

    starts.wait(start)
    for _ in range(2):
        await trio.lowlevel.checkpoint()
    assert len(begun) < 5 * STREAM_BURST
    with trio.fail_after(1):
        while len(begun) < 5 * STREAM_BURST:
            await trio.lowlevel.checkpoint()


@virtual
async def test_one_that_fails_stops_nobody_else() -> None:
    starts, begun = stream_starts(), []
    await turn()

    def broken() -> bool:
        raise RuntimeError("a fault of ours")

    starts.wait(broken)
    starts.wait(lambda: begun.append(None) is not None)
    await turn()
    assert begun == [None]
