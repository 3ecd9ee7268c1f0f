"""The sign of life that siblings and the supervisor read: every process with an event loop writes its own."""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from shm.processes import ProcessTable, Word

INTERVAL = 0.1  # seconds; siblings foster after 300 ms of silence, the supervisor acts after 5 s
LAG_WINDOW = 50  # beats over which the worst loop lag is shown


async def beat(
    processes: ProcessTable,
    slot: int,
    *,
    connections: Callable[[], int] = lambda: 0,
    requests: Callable[[], int] = lambda: 0,
) -> None:
    """Write heartbeat, loop lag (how late this task was woken; the worst of the last 5 s) and load, for ever."""
    lags = [0] * LAG_WINDOW
    turn = 0
    while True:
        before = time.monotonic_ns()
        processes.write(slot, Word.HEARTBEAT_NS, before)
        processes.write(slot, Word.LOOP_LAG_NS, max(lags))
        processes.write(slot, Word.CONNECTIONS, connections())
        processes.write(slot, Word.REQUESTS_ACTIVE, requests())
        await trio.sleep(INTERVAL)
        lags[turn] = max(0, time.monotonic_ns() - before - int(INTERVAL * 1e9))
        turn = (turn + 1) % LAG_WINDOW
