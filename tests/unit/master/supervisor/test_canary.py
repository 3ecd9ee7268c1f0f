"""What two generations have counted over the same time, from the words of their workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from master.supervisor.canary import Tally
from master.supervisor.canary_verdict import Figures, Share
from shm.processes import ProcessTable, Role, State, Word


@dataclass
class Generation:
    """As far as a tally looks at it."""

    number: int
    deaths: int = 0
    last_death: str = ""


@pytest.fixture
def table() -> Iterator[ProcessTable]:
    fd = ProcessTable.create(8)
    yield ProcessTable(fd)
    os.close(fd)


def worker(table: ProcessTable, slot: int, *, generation: int, state: State = State.SERVING, started: int = 5) -> None:
    for word, value in (
        (Word.ROLE, Role.WORKER), (Word.GENERATION, generation), (Word.STARTED_NS, started), (Word.STATE, state),
        (Word.PID, 100 + slot),
    ):  # fmt: skip
        table.write(slot, word, value)


def count(table: ProcessTable, slot: int, requests: int, failed: int, beats: int, late: int) -> None:
    for word, value in (
        (Word.REQUESTS, requests), (Word.REQUESTS_FAILED, failed), (Word.BEATS, beats), (Word.BEATS_LATE, late),
    ):  # fmt: skip
        table.write(slot, word, value)


def tally(table: ProcessTable, generation: Generation) -> Tally:
    return Tally(generation, table)  # type: ignore[arg-type]


def test_only_what_came_since_the_beginning_and_only_of_the_generation(table: ProcessTable) -> None:
    worker(table, 1, generation=1)
    worker(table, 2, generation=1)
    worker(table, 3, generation=2)
    count(table, 1, 1000, 900, 50, 40)
    old = Generation(1, deaths=7)
    seen = tally(table, old)
    assert seen.figures() == Figures()
    count(table, 1, 1010, 901, 60, 41)
    count(table, 2, 5, 2, 10, 0)
    count(table, 3, 99, 99, 99, 99)
    old.deaths += 1
    assert seen.figures() == Figures(Share(3, 15), Share(1, 20), 1)


def test_a_successor_in_the_same_slot_counts_from_zero(table: ProcessTable) -> None:
    worker(table, 1, generation=1)
    count(table, 1, 1000, 10, 50, 4)
    seen = tally(table, Generation(1))
    worker(table, 1, generation=1, started=6)
    count(table, 1, 3, 1, 2, 0)
    assert seen.figures() == Figures(Share(1, 3), Share(0, 2))


def test_a_start_is_not_held_against_a_canary_nor_its_idle_siblings_counted(table: ProcessTable) -> None:
    worker(table, 1, generation=2, state=State.STARTING)
    worker(table, 2, generation=2, state=State.STARTING)
    count(table, 1, 0, 0, 20, 19)
    seen = tally(table, Generation(2))
    worker(table, 1, generation=2)
    count(table, 1, 8, 0, 25, 20)
    count(table, 2, 0, 0, 500, 0)
    assert seen.figures() == Figures(Share(0, 8), Share(1, 5))


@pytest.mark.parametrize("words", [(5, 9, 2, 3), (-5, 9, -1, -1), (0, -1, 0, 5), (-(1 << 62), 1 << 62, 7, -7)])
def test_words_that_cannot_be_do_no_harm(table: ProcessTable, words: tuple[int, int, int, int]) -> None:
    worker(table, 1, generation=1)
    seen = tally(table, Generation(1))
    count(table, 1, *words)
    for share in seen.figures()[:2]:
        assert 0 <= share.bad <= share.all  # type: ignore[union-attr]
