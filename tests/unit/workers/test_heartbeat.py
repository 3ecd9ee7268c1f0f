"""The words by which a process shows that it lives, and how well."""

from __future__ import annotations

import os
import time

import trio

from shm.processes import ProcessTable
from tests.kit.trio import run_trio
from workers.heartbeat import LATE_NS, Load, beat


@run_trio
async def test_late_beats_are_counted_among_all() -> None:
    fd = ProcessTable.create(2)
    processes = ProcessTable(fd)
    blocks = iter([0.0, 2 * LATE_NS / 1e9, 0.0])

    def load() -> Load:
        time.sleep(next(blocks, 0.0))  # the loop is held up once
        return Load(connections=3, requests_active=2, requests=40, requests_failed=1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(beat, processes, 1, load)
        while (now := processes.read(1)).beats < 3:  # noqa: ASYNC110 - the words are shared memory
            await trio.sleep(0.02)
        nursery.cancel_scope.cancel()
    os.close(fd)
    assert (now.connections, now.requests_active, now.requests, now.requests_failed) == (3, 2, 40, 1)
    assert 1 <= now.beats_late <= now.beats
    assert now.loop_lag_ns >= LATE_NS
