"""The mirrored requests of one worker: tasks that nobody waits for, in number and bytes bounded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from proxy.limits import MAX_SHADOWS, SHADOW_BYTES


class Shadows:
    """`held` is what they hold of bodies, in bytes. Without `run` there is no mirroring."""

    def __init__(self) -> None:
        self.held = 0
        self._running = 0
        self._nursery: trio.Nursery | None = None

    def start(self, shadow: Callable[[], Awaitable[None]]) -> bool:
        """Run `shadow`, which raises nothing; False if there are too many."""
        if self._nursery is None or self._running >= MAX_SHADOWS:
            return False
        self._running += 1
        self._nursery.start_soon(self._run, shadow)
        return True

    def hold(self, size: int) -> bool:
        """Account for `size` more bytes; False if there are too many."""
        if self.held + size > SHADOW_BYTES:
            return False
        self.held += size
        return True

    async def run(self) -> None:
        """For ever: the tasks live in here, and end with it."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def _run(self, shadow: Callable[[], Awaitable[None]]) -> None:
        try:
            await shadow()
        finally:
            self._running -= 1
