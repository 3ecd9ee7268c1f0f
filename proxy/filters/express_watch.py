"""Takes exchanges out of the express lane that are not answered at once, and ends connections that idle there."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from proxy.filters.network.hcm_express_exchange import PlainExchange
    from proxy.filters.network.hcm_idle import IdleLanes

HAND_OVER_AFTER = 0.25  # seconds
_CHECK = 0.125

LEAST_TIMEOUT = 1.0
"""Seconds: the lane keeps no deadlines, so it takes no exchange that may have to end sooner than it would notice."""


class ExpressWatch:
    """The lanes of one worker that have an exchange in progress. The general path has deadlines; the lane has this."""

    def __init__(self) -> None:
        self._lanes: dict[PlainExchange, None] = {}  # oldest exchange first
        self._idle: weakref.WeakSet[IdleLanes] = weakref.WeakSet()

    def add(self, lane: PlainExchange) -> None:
        """An exchange begins."""
        self._lanes[lane] = None

    def watch_idle(self, lanes: IdleLanes) -> None:
        """Look after these while they exist."""
        self._idle.add(lanes)

    def discard(self, lane: PlainExchange) -> None:
        """It is over, or the general path's."""
        self._lanes.pop(lane, None)

    async def run(self) -> None:
        """Look every now and then, for ever."""
        while True:
            await trio.sleep(_CHECK)
            now = trio.current_time()
            late = now - HAND_OVER_AFTER
            for lane in list(self._lanes):
                if lane.progress is None or lane.progress.started > late:
                    break
                lane.hand_over()
            for idle in list(self._idle):
                for lane in idle.expire(now):
                    lane.expire()
