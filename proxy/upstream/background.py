"""What upstream connections run beside the requests that use them: tasks that outlive each of these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


class Background:
    """Without `run` nothing can be started."""

    def __init__(self) -> None:
        self._nursery: trio.Nursery | None = None

    def start(self, task: Callable[[], Awaitable[None]]) -> bool:
        """Run `task`, which raises nothing; False if it is too late for that."""
        if self._nursery is None:
            return False
        self._nursery.start_soon(task)
        return True

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """For ever: the tasks live in here, and end with it."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None
