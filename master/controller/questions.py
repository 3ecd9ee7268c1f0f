"""Questions to all workers, of every generation: the supervisor passes them on, and the answers back.

A worker that hangs, or is of a release that does not know the question, does not answer; it is named instead.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import trio

ANSWER_DEADLINE = 2.0  # seconds for the workers to answer


class Asked(NamedTuple):
    """A worker by its index; `pid` tells it from its successor."""

    pid: int
    generation: int
    worker: int


class Sessions(NamedTuple):
    """`sessions` have the members of `proxy.sessions.Session` and `generation`, `worker`, `pid`: the oldest first, of
    `total` ones. `silent` are the workers that have not answered in time.
    """

    total: int
    sessions: list[dict[str, Any]]
    silent: list[Asked]


class _Pending:
    """What is known so far of one question."""

    def __init__(self) -> None:
        self.workers: list[Asked] | None = None  # whom the supervisor has asked, once it has said so
        self.answers: dict[int, Mapping[str, Any]] = {}  # by pid
        self.changed = trio.Event()

    @property
    def silent(self) -> list[Asked]:
        return [worker for worker in self.workers or () if worker.pid not in self.answers]

    @property
    def complete(self) -> bool:
        return self.workers is not None and not self.silent


class Questions:
    """`send` reaches the supervisor."""

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self._send = send
        self._pending: dict[int, _Pending] = {}

    async def sessions(self, *, older: float, listener: str, limit: int, generation: int | None = None) -> Sessions:
        """The oldest `limit` connections of all workers (of a generation), or of those that answer in time."""
        request = random.getrandbits(52)  # an answer to a predecessor of this process must not be taken for one to it
        pending = self._pending[request] = _Pending()
        try:
            question = {"older": older, "listener": listener, "limit": limit, "generation": generation}
            await self._send({"type": "sessions", "request": request, **question})
            with trio.move_on_after(ANSWER_DEADLINE):
                while not pending.complete:
                    pending.changed = trio.Event()
                    await pending.changed.wait()
        finally:
            del self._pending[request]
        found = [session for answer in pending.answers.values() for session in answer["sessions"]]
        found.sort(key=lambda session: -session["age"])
        total = sum(answer["total"] for answer in pending.answers.values())
        return Sessions(total, found[:limit], pending.silent)

    def on_message(self, message: Mapping[str, Any]) -> None:
        """What the supervisor says of a question: whom it has asked, or what one of them answers."""
        pending = self._pending.get(message["request"])
        if pending is None:
            return
        if message["type"] == "asked":
            pending.workers = [Asked(*worker) for worker in message["workers"]]
        else:
            who = {"generation": message["generation"], "worker": message["index"], "pid": message["pid"]}
            sessions = [{**session, **who} for session in message["sessions"]]
            pending.answers[message["pid"]] = {"total": message["total"], "sessions": sessions}
        pending.changed.set()
