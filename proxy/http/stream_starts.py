"""How many streams of HTTP/2 begin in one turn of the event loop, over all connections of the worker.

One packet may begin a thousand streams, and many connections may send one at once: who is in the middle of something
would wait until all of them have begun. So a few begin in each turn, and connections take turns.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

import trio

from proxy.limits import STREAM_BURST
from proxy.net.bell import Bell

log = logging.getLogger("proxy.http")


class StreamStarts:
    """One per event loop; `stream_starts` finds it. Runs as a system task until the loop ends."""

    def __init__(self) -> None:
        self._left = STREAM_BURST
        self._waiting: deque[Callable[[], bool]] = deque()
        self._bell = Bell()

    def take(self) -> bool:
        """Whether one more may begin in this turn."""
        if self._waiting or not self._left:
            return False
        self._left -= 1
        self._bell.ring()
        return True

    def wait(self, start: Callable[[], bool]) -> None:
        """Have `start` called in later turns, once for each stream, until it says that it has no more."""
        self._waiting.append(start)
        self._bell.ring()

    async def run(self) -> None:
        waiting = self._waiting
        while True:
            if self._left == STREAM_BURST and not waiting:
                await self._bell.wait()
            else:
                await trio.lowlevel.checkpoint()
            self._left = STREAM_BURST
            while waiting and self._left:
                self._left -= 1
                start = waiting.popleft()
                try:
                    more = start()
                except Exception:
                    log.exception("a stream could not be started")
                    continue
                if more:
                    waiting.append(start)


_current: trio.lowlevel.RunVar[StreamStarts] = trio.lowlevel.RunVar("stream starts")


def stream_starts() -> StreamStarts:
    """Those of this event loop."""
    try:
        return _current.get()
    except LookupError:
        starts = StreamStarts()
        _current.set(starts)
        trio.lowlevel.spawn_system_task(starts.run)
        return starts
