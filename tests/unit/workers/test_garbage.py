"""Garbage in cycles that is old: looked for when few requests are in hand, and sooner or later in any case."""

from __future__ import annotations

import gc
import weakref

import pytest
import trio

from tests.kit.trio import run_trio
from workers import garbage


@pytest.mark.parametrize(
    ("passed", "requests", "now"),
    [(9, 0, False), (10, 50, True), (10, 51, False), (99, 1000, False), (100, 1000, True)],
)
def test_when(passed: int, requests: int, now: bool) -> None:
    assert garbage.due(passed, requests) is now


class _Cycle:
    def __init__(self) -> None:
        self.itself = self


def old_cycle() -> weakref.ref[_Cycle]:
    """Of an age at which only full collections look at it."""
    cycle = _Cycle()
    gc.collect(1)
    gc.collect(1)
    return weakref.ref(cycle)


@run_trio(virtual_time=True)
async def test_it_waits_until_few_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = 1000
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, 50))
    before = gc.get_threshold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(garbage.collect, lambda: requests)
        await trio.sleep(0.5)
        assert gc.get_threshold() == (*before[:2], 1_000_000_000)
        cycle = old_cycle()
        await trio.sleep(20)
        assert cycle() is not None
        requests = 0
        await trio.sleep(1)
        assert cycle() is None
        nursery.cancel_scope.cancel()
    assert gc.get_threshold() == before
