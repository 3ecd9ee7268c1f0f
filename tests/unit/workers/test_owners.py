"""Workers that are silent, or of another generation, look after nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from shm.processes import ProcessTable, Role, State, Word
from workers import owners
from workers.owners import LiveWorkers

KEYS = [f"cluster/{number}" for number in range(200)]


@pytest.fixture
def table() -> Iterator[ProcessTable]:
    fd = ProcessTable.create(8)
    yield ProcessTable(fd)
    os.close(fd)


def register(
    table: ProcessTable, slot: int, *, role: Role = Role.WORKER, generation: int = 1, silent: float = 0
) -> None:
    table.write(slot, Word.ROLE, role)
    table.write(slot, Word.GENERATION, generation)
    table.write(slot, Word.HEARTBEAT_NS, time.monotonic_ns() - int(silent * 1e9))
    table.write(slot, Word.PID, 1000 + slot)


def owned(table: ProcessTable, slot: int) -> set[str]:
    live = LiveWorkers(table, generation=1, slot=slot)
    return {key for key in KEYS if live.mine(key)}


def test_each_key_has_one_owner(table: ProcessTable) -> None:
    for slot in range(3):
        register(table, slot)
    register(table, 3, role=Role.CONTROLLER)
    register(table, 4, generation=2)
    register(table, 5, silent=5)
    shares = [owned(table, slot) for slot in range(3)]
    assert set().union(*shares) == set(KEYS)
    assert sum(map(len, shares)) == len(KEYS)
    assert all(shares)


def test_what_a_dead_worker_had_is_taken_over(table: ProcessTable, monkeypatch: pytest.MonkeyPatch) -> None:
    register(table, 0)
    register(table, 1)
    survivor = LiveWorkers(table, generation=1, slot=0)
    before = {key for key in KEYS if survivor.mine(key)}
    table.clear(1)
    monkeypatch.setattr(owners, "LOOK_NS", 0)
    assert before < {key for key in KEYS if survivor.mine(key)} == set(KEYS)


def test_a_worker_alone_looks_after_everything_before_its_first_sign_of_life(table: ProcessTable) -> None:
    register(table, 2, silent=100)
    assert owned(table, 2) == set(KEYS)


def test_nothing_is_anybodys_before_the_controller_has_taken_over_what_was_known(
    table: ProcessTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "LOOK_NS", 0)
    register(table, 0, generation=2)
    register(table, 1, role=Role.CONTROLLER, generation=1)
    table.write(1, Word.STATE, State.SERVING)
    live = LiveWorkers(table, generation=2, slot=0, inherits=True)
    assert not any(map(live.mine, KEYS))
    register(table, 2, role=Role.CONTROLLER, generation=2)
    assert not any(map(live.mine, KEYS))
    table.write(2, Word.STATE, State.STARTING)
    assert all(map(live.mine, KEYS))
    table.clear(2)
    assert all(map(live.mine, KEYS))  # it has been there


def test_a_controller_that_does_not_come_is_not_waited_for_for_ever(
    table: ProcessTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "PATIENCE_NS", 0)
    register(table, 0, generation=2)
    assert all(map(LiveWorkers(table, generation=2, slot=0, inherits=True).mine, KEYS))
