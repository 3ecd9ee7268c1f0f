"""Entries of what is not over yet, every now and then: one task for all exchanges and connections of a worker."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import trio

_SMALL = 64


class Ticking:
    """Something that is called every `interval` seconds until it is stopped."""

    __slots__ = ("_call", "due", "interval", "stopped")

    def __init__(self, due: float, interval: float, call: Callable[[], None]) -> None:
        self.due = due
        self.interval = interval
        self.stopped = False
        self._call = call

    def __lt__(self, other: Ticking) -> bool:
        return self.due < other.due

    def stop(self) -> None:
        self.stopped = True

    def tick(self, now: float) -> None:
        self.due = now + self.interval
        self._call()


class Periodic:
    """Without `run` nothing ticks. What is stopped is forgotten when its time comes, or when twice as many are
    here as the last time that all were looked at."""

    def __init__(self) -> None:
        self._heap: list[Ticking] = []
        self._sooner: trio.CancelScope | None = None
        self._full = _SMALL

    def every(self, interval: float, call: Callable[[], None], *, since: float | None = None) -> Ticking:
        """Call `call`, which raises nothing, every `interval` seconds from `since` (now) on."""
        ticking = Ticking((trio.current_time() if since is None else since) + interval, interval, call)
        heapq.heappush(self._heap, ticking)
        if len(self._heap) > self._full:
            self._forget_stopped()
        if self._heap[0] is ticking and self._sooner is not None:
            self._sooner.deadline = ticking.due
        return ticking

    async def run(self) -> None:
        """For ever."""
        while True:
            with trio.CancelScope(deadline=self._heap[0].due if self._heap else math.inf) as self._sooner:
                await trio.sleep_forever()
            self._sooner = None
            self._tick(trio.current_time())

    def _tick(self, now: float) -> None:
        heap = self._heap
        while heap and heap[0].due <= now:
            ticking = heapq.heappop(heap)
            if not ticking.stopped:
                ticking.tick(now)
                heapq.heappush(heap, ticking)

    def _forget_stopped(self) -> None:
        self._heap = [ticking for ticking in self._heap if not ticking.stopped]
        heapq.heapify(self._heap)
        self._full = max(_SMALL, 2 * len(self._heap))
