"""Standing orders: what an operator changed at run time, for all processes, also those that start later.

The supervisor keeps them, so they survive this process: a successor finds them in its order, a pending revert included.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypedDict

import trio

from master.controller.drains import Drains
from proxy import log as process_log

Send = Callable[[dict[str, Any]], Awaitable[None]]


class LogOrder(TypedDict):
    """`levels` hold now; at `until` (CLOCK_MONOTONIC seconds; 0: never) those of `then` come back."""

    levels: dict[str, str]
    then: dict[str, str]
    until: float


def changed(order: LogOrder, wanted: Mapping[str, str], *, now: float, seconds: float | None) -> LogOrder:
    """`order` after a change for `seconds`, or for good (None). Pure.

    What is temporary ends together, with the last change; what is for good outlives it.
    """
    levels = {**order["levels"], **wanted}
    if seconds is None:
        return LogOrder(levels=levels, then={**order["then"], **wanted}, until=order["until"])
    return LogOrder(levels=levels, then=order["then"], until=now + seconds)


def reverted(order: LogOrder) -> LogOrder:
    """`order` once its time is over. Pure."""
    return LogOrder(levels=order["then"], then=order["then"], until=0.0)


class StandingOrders:
    """`given` are the orders so far, `log_level` is what `proxyctl run` was told, `send` reaches the supervisor."""

    def __init__(self, given: dict[str, Any], log_level: str, send: Send) -> None:
        levels = dict.fromkeys(process_log.COMPONENTS, log_level)
        self._send = send
        self._log = LogOrder(levels=levels, then=levels, until=0.0)
        self._log_changed = trio.Event()
        self.adopt(given)

    def adopt(self, given: dict[str, Any]) -> None:
        """Go on with what has been ordered so far, by whomever."""
        self._given = given
        self._log = given.get("log") or self._log
        self._log_changed.set()
        process_log.set_levels(self._log["levels"])

    @property
    def health_check_failed(self) -> bool:
        return bool(self._given.get("health_check_failed"))

    @property
    def drains(self) -> Drains:
        drains: Drains = self._given.get("drain", {})
        return drains

    @property
    def log_levels(self) -> Mapping[str, str]:
        return self._log["levels"]

    def keep(self, name: str, value: Any) -> None:
        """It holds from now on; the supervisor hears of it from the caller."""
        self._given[name] = value

    async def give(self, name: str, value: Any) -> None:
        """Returns when the supervisor has been told; it tells the workers."""
        self.keep(name, value)
        await self._send({"type": "order", "name": name, "value": value})

    async def set_log_levels(self, levels: Mapping[str, str], seconds: float | None) -> None:
        await self._set_log(changed(self._log, levels, now=time.monotonic(), seconds=seconds))

    async def revert_log_levels(self) -> None:
        """Take temporary levels back when their time is over, for ever: whoever asked for them may have died."""
        while True:
            self._log_changed = trio.Event()
            until = self._log["until"]
            with trio.move_on_after(max(0.0, until - time.monotonic()) if until else math.inf):
                await self._log_changed.wait()
                continue
            await self._set_log(reverted(self._log))

    async def _set_log(self, order: LogOrder) -> None:
        self._log = order
        process_log.set_levels(order["levels"])
        self._log_changed.set()
        await self.give("log", order)
