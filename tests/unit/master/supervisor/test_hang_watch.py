"""Who is signalled for hanging: one at a time, and nobody for a pause of the whole machine."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from master.supervisor.child import Child, Outbox
from master.supervisor.hang import HUNG_AFTER_NS, OWN_LAG_NS
from master.supervisor.hang_watch import verdicts
from shm.processes import ProcessTable


class Owner:
    """The first generation, as far as names go."""

    number = 1


@pytest.fixture
def processes() -> Iterator[ProcessTable]:
    fd = ProcessTable.create(8)
    yield ProcessTable(fd)
    os.close(fd)


@pytest.fixture
def silent() -> Iterator[list[Child]]:
    """Two workers that have given no sign of life for too long."""
    pairs = [socket.socketpair() for _ in range(2)]
    long_ago = time.monotonic_ns() - HUNG_AFTER_NS - 1
    yield [
        Child(cast(Any, Owner), "worker", Outbox(ours), index=slot, slot=slot, started_ns=long_ago)
        for slot, (ours, _) in enumerate(pairs)
    ]
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_one_at_a_time_and_first_with_its_traceback(processes: ProcessTable, silent: list[Child]) -> None:
    assert [number for _, number in verdicts(silent, processes, own_lag_ns=0)] == [signal.SIGABRT]
    (hung,) = [child for child in silent if child.state == "hung"]
    assert list(verdicts(silent, processes, own_lag_ns=0)) == []
    hung.kill_at_ns = 0
    assert list(verdicts(silent, processes, own_lag_ns=0)) == [(hung, signal.SIGKILL)]


def test_a_pause_of_the_whole_machine_is_nobodys_fault_also_a_moment_later(
    processes: ProcessTable, silent: list[Child]
) -> None:
    assert list(verdicts(silent, processes, own_lag_ns=OWN_LAG_NS + 1)) == []
    assert list(verdicts(silent, processes, own_lag_ns=0)) == []
    for child in silent:
        child.excused_ns = 0
    assert list(verdicts(silent, processes, own_lag_ns=0))
