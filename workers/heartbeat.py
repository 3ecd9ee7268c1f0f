"""The sign of life that siblings and the supervisor read: every process with an event loop writes its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import trio

from shm.processes import ProcessTable, Word

INTERVAL = 0.1  # seconds; siblings foster after 300 ms of silence, the supervisor acts after 5 s
LAG_WINDOW = 50  # beats over which the worst loop lag is shown
LATE_NS = 50_000_000  # a beat that comes so much later than it should is a late one


class Load(NamedTuple):
    """What a process has to do, and has done since its start (`Word` has the meaning of each)."""

    connections: int = 0
    requests_active: int = 0
    requests: int = 0
    requests_failed: int = 0


async def beat(processes: ProcessTable, slot: int, load: Callable[[], Load] = Load) -> None:
    """Write heartbeat, loop lag (how late this task was woken; the worst of the last 5 s) and load, for ever."""
    lags = [0] * LAG_WINDOW
    beats = late = 0
    while True:
        before = time.monotonic_ns()
        now = load()
        processes.write(slot, Word.HEARTBEAT_NS, before)
        processes.write(slot, Word.LOOP_LAG_NS, max(lags))
        processes.write(slot, Word.CONNECTIONS, now.connections)
        processes.write(slot, Word.REQUESTS_ACTIVE, now.requests_active)
        processes.write(slot, Word.BEATS, beats)
        processes.write(slot, Word.BEATS_LATE, late)
        processes.write(slot, Word.REQUESTS, now.requests)
        processes.write(slot, Word.REQUESTS_FAILED, now.requests_failed)
        await trio.sleep(INTERVAL)
        lag = max(0, time.monotonic_ns() - before - int(INTERVAL * 1e9))
        lags[beats % LAG_WINDOW] = lag
        beats += 1
        late += lag > LATE_NS
