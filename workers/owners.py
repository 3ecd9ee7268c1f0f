"""Which workers of this generation look after what (`proxy.upstream.owners`): those that show signs of life."""

from __future__ import annotations

import time
from typing import Final

from proxy.upstream.owners import owner
from shm.processes import ProcessTable, Role

SILENCE_NS: Final = 1_000_000_000
"""Who has been silent for so long leaves its work to others: ten heartbeats, as a busy worker may be late for some."""

LOOK_NS: Final = 100_000_000


class LiveWorkers:
    """As the worker in `slot` sees them. Those that drain go on with what they look after, until they end."""

    def __init__(self, processes: ProcessTable, *, generation: int, slot: int) -> None:
        self._processes = processes
        self._generation = generation
        self._slot = slot
        self._looked = 0
        self._live: tuple[int, ...] = (slot,)
        self._owned: dict[str, bool] = {}

    def mine(self, key: str) -> bool:
        """Implements `Owners`."""
        now = time.monotonic_ns()
        if now - self._looked >= LOOK_NS:
            self._looked = now
            self._look(now)
        mine = self._owned.get(key)
        if mine is None:
            mine = self._owned[key] = owner(key, self._live) == self._slot
        return mine

    def _look(self, now: int) -> None:
        live = tuple(
            each.slot
            for each in self._processes.live()
            if each.slot == self._slot
            or (
                each.role == Role.WORKER
                and each.generation == self._generation
                and now - each.heartbeat_ns < SILENCE_NS
            )
        )
        if live != self._live:
            self._live = live
            self._owned = {}
