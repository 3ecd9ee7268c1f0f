"""A small soak: what `make soak` does for minutes, in seconds; and that it would notice if something failed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence

import pytest

from bench.soak import report
from bench.soak.operations import TRIREME
from bench.soak.operations.operation import Operation, Scene
from bench.soak.owners import Kill
from bench.soak.run import Record, run
from bench.soak.subjects.trireme import Trireme
from bench.soak.verdict import judge

ROUNDS = 2
LIMIT = 30.0  # s; on a machine that is too busy fewer operations take place


@pytest.fixture(scope="module")
def subject() -> Iterator[Trireme]:
    subject = Trireme()
    yield subject
    subject.close()


def soak(subject: Trireme, operations: Sequence[Operation[Trireme]], rounds: int) -> Record:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    deadline = time.monotonic() + LIMIT
    return run(subject, operations, rounds=rounds, deadline=deadline, seed=seed, say=lambda event: print(event))


def test_no_request_fails_but_on_connections_of_a_killed_worker(subject: Trireme) -> None:
    once = [Operation(operation.name, operation.perform, times=operation.times) for operation in TRIREME[:3]]
    record = soak(subject, [*once, *(operation for operation in TRIREME if operation.every > 2)], ROUNDS)
    verdict = judge(record.events, record.kills, record.outcomes)
    assert verdict.good, report.text("trireme", verdict, record.unavailable, subject.explain)
    assert verdict.operations["hot restart"].times
    assert verdict.operations["worker kill"].times == len(record.kills) > 0
    assert all(line.requests for line in verdict.kinds.values())


def test_a_kill_that_nobody_owns_up_to_is_a_failure(subject: Trireme) -> None:
    def perform(scene: Scene[Trireme]) -> Sequence[Kill]:
        os.kill(scene.subject.workers()[0], signal.SIGKILL)
        scene.subject.wait_until_whole()
        return ()

    record = soak(subject, [Operation("accident", perform)], 1)
    verdict = judge(record.events, record.kills, record.outcomes)
    assert not verdict.good
    assert {fault.event.name for fault in verdict.faults} == {"accident"}
    text = report.text("trireme", verdict, record.unavailable, subject.explain)
    assert f"{verdict.total.failed.total()} not excused" in text
