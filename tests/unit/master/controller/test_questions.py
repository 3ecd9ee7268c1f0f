"""Questions to all workers: whose answers count, and for how long they are waited for."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing

from master.controller.questions import Asked, Questions, Sessions
from tests.kit.trio import run_trio


class Workers:
    """The supervisor and its workers, as far as the test lets them answer."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.questions = Questions(self.take)
        self.result: Sessions | None = None

    async def take(self, message: dict[str, Any]) -> None:
        self.asked.append(message)

    async def ask(self, limit: int = 10) -> None:
        self.result = await self.questions.sessions(older=0.0, listener="", limit=limit)

    def say(self, **message: Any) -> None:
        self.questions.on_message({"request": self.asked[0]["request"], **message})

    def answer(self, pid: int, *ages: float) -> None:
        sessions = [{"age": age} for age in ages]
        self.say(type="sessions", pid=pid, generation=1, index=pid, total=len(ages), sessions=sessions)


@run_trio(virtual_time=True)
async def test_all_answers_become_one_the_oldest_first() -> None:
    workers = Workers()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(workers.ask, 3)
        await trio.testing.wait_all_tasks_blocked()
        workers.answer(8, 5.0, 1.0)  # before it is known who was asked
        workers.say(type="asked", workers=[[7, 1, 7], [8, 1, 8]])
        await trio.testing.wait_all_tasks_blocked()
        assert workers.result is None
        workers.answer(7, 9.0, 2.0)
    assert workers.result is not None
    assert trio.current_time() < 2
    assert [session["age"] for session in workers.result.sessions] == [9.0, 5.0, 2.0]
    assert [session["worker"] for session in workers.result.sessions] == [7, 8, 7]
    assert workers.result.total == 4
    assert workers.result.silent == []


@run_trio(virtual_time=True)
async def test_who_does_not_answer_is_named_and_not_waited_for() -> None:
    workers = Workers()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(workers.ask)
        await trio.testing.wait_all_tasks_blocked()
        workers.say(type="asked", workers=[[7, 1, 0], [8, 2, 0]])
        workers.answer(8, 3.0)
    assert workers.result is not None
    assert workers.result.silent == [Asked(7, 1, 0)]
    assert workers.result.total == 1
    workers.answer(7, 3.0)  # too late, and of no consequence


@run_trio(virtual_time=True)
async def test_a_supervisor_that_says_nothing() -> None:
    workers = Workers()
    await workers.ask()
    assert workers.result == Sessions(0, [], [])
