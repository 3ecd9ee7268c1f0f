"""A reusable event for one waiting task: a `trio.Event` would be a new object for each wait."""

from __future__ import annotations

from typing import Any

import trio


class Bell:
    """Who waits has looked at what it waits for just before, without a pause: so a `ring` without a waiter is for
    nobody, and is not remembered.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: trio.lowlevel.Task | None = None

    async def wait(self) -> None:
        self._waiting = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def ring(self) -> None:
        if self._waiting is not None:
            task, self._waiting = self._waiting, None
            trio.lowlevel.reschedule(task)

    def _abort(self, _: Any) -> trio.lowlevel.Abort:
        self._waiting = None
        return trio.lowlevel.Abort.SUCCEEDED
