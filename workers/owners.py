"""Which workers of this generation look after what (`proxy.upstream.owners`): those that show signs of life."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from proxy.upstream.owners import owner
from shm.processes import ProcessInfo, ProcessTable, Role, State

SILENCE_NS: Final = 1_000_000_000
"""Who has been silent for so long leaves its work to others: ten heartbeats, as a busy worker may be late for some."""

LOOK_NS: Final = 100_000_000

PATIENCE_NS: Final = 5_000_000_000
"""For so long a generation that has a predecessor waits for its controller, which takes over what that one knows."""


class LiveWorkers:
    """As the worker in `slot` sees them. Those that drain go on with what they look after, until they end. `inherits`:
    nothing is anybody's before the controller has begun.
    """

    def __init__(self, processes: ProcessTable, *, generation: int, slot: int, inherits: bool = False) -> None:
        self._processes = processes
        self._waits_until = time.monotonic_ns() + PATIENCE_NS if inherits else 0
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
        known = self._processes.live()
        if self._waits(now, known):
            self._live, self._owned = (), {}
            return
        live = tuple(
            each.slot
            for each in known
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

    def _waits(self, now: int, known: Sequence[ProcessInfo]) -> bool:
        if now < self._waits_until and not any(
            each.role == Role.CONTROLLER and each.generation == self._generation and each.state >= State.STARTING
            for each in known
        ):
            return True
        self._waits_until = 0
        return False
