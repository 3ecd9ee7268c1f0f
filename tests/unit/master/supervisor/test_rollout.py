"""Who has to answer when a configuration is rolled out, and who no longer counts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from master.supervisor import rollout
from master.supervisor.child import Child
from master.supervisor.rollout import Rollout
from shm.processes import ProcessInfo

ORDER = {"drain": {}}


class Generation:
    """Workers that hear, and a clock that a test turns."""

    def __init__(self, count: int) -> None:
        self.now = 1000.0
        self.said: list[tuple[int, str]] = []
        self.killed: list[int] = []
        self.heartbeats: dict[int, float] = {}
        self.versions: dict[int, int] = {}
        self.workers = [self.worker(index, "ready") for index in range(count)]
        self.workforce = SimpleNamespace(everyone=lambda: iter(self.workers))
        self.supervisor = SimpleNamespace(children=self)

    def worker(self, index: int, state: Any) -> Child:
        child = Child(
            cast(Any, SimpleNamespace(number=1)), "worker", cast(Any, None), index=index, slot=index, state=state
        )
        self.heartbeats[index] = self.now
        return child

    def __contains__(self, child: Child) -> bool:
        return child in self.workers

    def send(self, child: Child, message: dict[str, Any], *, give: tuple[int, ...] = ()) -> None:
        self.said.append((child.index, message["type"]))
        for fd in give:
            os.close(fd)

    def signal(self, child: Child, number: int) -> None:
        assert number == signal.SIGKILL
        self.killed.append(child.index)

    def process(self, child: Child) -> ProcessInfo:
        empty = ProcessInfo(*(0 for _ in ProcessInfo._fields))
        heartbeat = int(self.heartbeats[child.index] * 1e9)
        return empty._replace(heartbeat_ns=heartbeat, config_version=self.versions.get(child.index, 1))

    def pass_time(self, rolling: Rollout, seconds: float, *, alive: tuple[int, ...] = ()) -> bool:
        """Look four times a second."""
        done = False
        for _ in range(round(seconds * 4)):
            self.now += 0.25
            self.heartbeats.update(dict.fromkeys(alive, self.now))
            done = rolling.look(self.process)
        return done


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Generation]:
    made = Generation(3)
    monkeypatch.setattr(rollout.time, "monotonic", lambda: made.now)
    return made


@pytest.fixture
def rolling(workers: Generation) -> Iterator[Rollout]:
    read, write = os.pipe()
    made = Rollout(cast(Any, workers), 2, config=read, endpoints=write)
    made.prepare()
    yield made
    os.close(read)
    os.close(write)


def say(rolling: Rollout, child: Child, kind: str, **more: Any) -> None:
    rolling.answered(child, {"type": kind, "version": 2, **more})


def test_all_prepare_and_then_all_change_over(workers: Generation, rolling: Rollout) -> None:
    assert workers.said == [(0, "prepare"), (1, "prepare"), (2, "prepare")]
    for child in workers.workers:
        assert not rolling.look(workers.process)
        say(rolling, child, "prepared")
    assert rolling.look(workers.process)
    rolling.commit(ORDER)
    assert workers.said[3:] == [(0, "commit"), (1, "commit"), (2, "commit")]
    for child in workers.workers[:2]:
        say(rolling, child, "committed")
    assert (rolling.total, rolling.waiting) == (3, 1)
    workers.versions[2] = 2  # its message was lost; its word of shared memory is not
    assert rolling.look(workers.process)


def test_a_refusal_is_told_and_everybody_forgets(workers: Generation, rolling: Rollout) -> None:
    say(rolling, workers.workers[1], "refused", reason="no")
    assert rolling.refusal == "worker 1: no"
    rolling.abort()
    assert workers.said[3:]
    assert {kind for _, kind in workers.said[3:]} == {"abort"}


def test_who_is_silent_is_replaced_and_no_longer_counts(workers: Generation, rolling: Rollout) -> None:
    for child in workers.workers[:2]:
        say(rolling, child, "prepared")
    assert not workers.pass_time(rolling, rollout.SILENCE - 0.5)
    assert workers.pass_time(rolling, 1.0)
    assert (workers.killed, rolling.replaced, rolling.nobody) == ([2], ["worker 2"], False)


def test_who_is_slow_but_alive_gets_its_time(workers: Generation, rolling: Rollout) -> None:
    for child in workers.workers[:2]:
        say(rolling, child, "prepared")
    assert not workers.pass_time(rolling, rollout.DEADLINE - 1, alive=(2,))
    assert workers.pass_time(rolling, 2, alive=(2,))
    assert workers.killed == [2]


def test_a_machine_that_was_paused_accuses_nobody(workers: Generation, rolling: Rollout) -> None:
    workers.now += 60
    assert not rolling.look(workers.process)
    assert workers.killed == []


def test_nobody_is_left(workers: Generation, rolling: Rollout) -> None:
    for child in workers.workers:
        rolling.died(child)
    assert rolling.look(workers.process)
    assert rolling.nobody


def test_who_started_meanwhile_gets_both_orders_at_once(workers: Generation, rolling: Rollout) -> None:
    first, second, third = workers.workers
    for child in (first, second):
        say(rolling, child, "prepared")
    rolling.died(third)
    workers.workers = [first, second, workers.worker(2, "starting")]
    assert rolling.look(workers.process)
    workers.said.clear()
    rolling.commit(ORDER)
    assert sorted(workers.said) == [(0, "commit"), (1, "commit"), (2, "commit"), (2, "prepare")]
    assert workers.said.index((2, "prepare")) < workers.said.index((2, "commit"))
