"""What ticks: in time, until it is stopped, and nothing is kept of it then."""

from __future__ import annotations

import trio
import trio.testing

from proxy.access_log.periodic import Periodic


def test_each_at_its_own_interval_until_it_is_stopped() -> None:
    heard: list[tuple[str, float]] = []

    async def main() -> None:
        periodic = Periodic()
        begun = trio.current_time()

        def hear(who: str) -> None:
            heard.append((who, round(trio.current_time() - begun, 3)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(periodic.run)
            slow = periodic.every(3, lambda: hear("slow"))
            await trio.sleep(0.5)
            quick = periodic.every(1, lambda: hear("quick"))  # due before the one that is waited for
            await trio.sleep(3)
            quick.stop()
            await trio.sleep(3)
            slow.stop()
            await trio.sleep(10)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert heard == [("quick", 1.5), ("quick", 2.5), ("slow", 3.0), ("quick", 3.5), ("slow", 6.0)] or heard == [
        ("quick", 1.5),
        ("quick", 2.5),
        ("slow", 3.0),
        ("slow", 6.0),
    ]


def test_it_counts_from_when_something_began() -> None:
    heard: list[float] = []

    async def main() -> None:
        periodic = Periodic()
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(periodic.run)
            await trio.sleep(0.75)
            periodic.every(1, lambda: heard.append(trio.current_time() - begun), since=begun)
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [round(one, 3) for one in heard] == [1.0]


def test_what_is_stopped_is_not_kept() -> None:
    async def main() -> None:
        periodic = Periodic()
        for _ in range(10_000):
            periodic.every(3600, lambda: None).stop()
        assert len(periodic._heap) <= 65

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
