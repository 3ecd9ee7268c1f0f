"""The trial of a new generation: one of its workers accepts beside the old generation, and both are watched.

The two share the queue of the canary's socket instead of one yielding it to the other. So the old generation need not
know (it may be of an older release), a canary that hangs or dies keeps nobody waiting, and with a single worker there
is still somebody to compare with. What is compared is in `canary_verdict.py`, the words are in `shm/processes.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from master.supervisor.canary_verdict import Figures, Share, objection
from shm.processes import ProcessInfo, ProcessTable, Role, State

if TYPE_CHECKING:
    from master.supervisor.generation import Generation

INTERVAL = 0.25  # seconds between looks
FRESH_NS = 1_000_000_000  # a canary without a beat for so long is not sent on: it hangs, or is about to be killed


class Tally:
    """What the workers of a generation that accept have counted since this was made."""

    def __init__(self, generation: Generation, processes: ProcessTable) -> None:
        self.generation = generation
        self._processes = processes
        self._deaths = generation.deaths
        self._before = {(process.slot, process.started_ns): process for process in self._workers()}

    def figures(self) -> Figures:
        requests = failed = beats = late = 0
        for process in self.accepting():
            before = self._before.get((process.slot, process.started_ns))
            requests += process.requests - (before.requests if before else 0)
            failed += process.requests_failed - (before.requests_failed if before else 0)
            beats += process.beats - (before.beats if before else 0)
            late += process.beats_late - (before.beats_late if before else 0)
        return Figures(_share(failed, requests), _share(late, beats), self.generation.deaths - self._deaths)

    def accepting(self) -> Iterator[ProcessInfo]:
        return (process for process in self._workers() if process.state == State.SERVING)

    def _workers(self) -> Iterator[ProcessInfo]:
        number = self.generation.number
        return (p for p in self._processes.live() if p.role == Role.WORKER and p.generation == number)


def _share(bad: int, total: int) -> Share:
    """Words of another process: they are read one by one, and it is not trusted."""
    total = max(0, total)
    return Share(max(0, min(bad, total)), total)


class Canary:
    """A trial of `candidate` for `seconds`, beginning now."""

    def __init__(self, candidate: Generation, serving: Generation, processes: ProcessTable, seconds: float) -> None:
        self.seconds = seconds
        self._mine, self._theirs = Tally(candidate, processes), Tally(serving, processes)
        self._began = time.monotonic()
        self._next_look = self._began + INTERVAL

    @property
    def due(self) -> bool:
        """Whether it is time to look; says so once in an interval."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + INTERVAL
        return True

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    @property
    def over(self) -> bool:
        """The time is up, and the canary is there."""
        fresh = time.monotonic_ns() - FRESH_NS
        return self.elapsed >= self.seconds and any(p.heartbeat_ns >= fresh for p in self._mine.accepting())

    def objection(self) -> str | None:
        """Why it is to go back, or None."""
        reason = objection(self._mine.figures(), self._theirs.figures())
        if reason is None:
            return None
        died = self._mine.generation.last_death if self._mine.figures().deaths else ""
        return f"after {self.elapsed:.1f} s {reason}" + (f" ({died})" if died else "")

    def status(self) -> dict[str, Any]:
        """For people: what both did so far."""
        return {
            "seconds": self.seconds,
            "left": round(max(0.0, self.seconds - self.elapsed), 1),
            "canary": _shown(self._mine.figures()),
            "serving": _shown(self._theirs.figures()),
        }

    def summary(self) -> str:
        """In one line."""
        return (
            f"canary: {_words(self._mine.figures())}; "
            f"generation {self._theirs.generation.number}: {_words(self._theirs.figures())}"
        )


def _shown(figures: Figures) -> dict[str, int]:
    return {
        "requests": figures.requests.all,
        "requests_failed": figures.requests.bad,
        "beats": figures.beats.all,
        "beats_late": figures.beats.bad,
        "deaths": figures.deaths,
    }


def _words(figures: Figures) -> str:
    return f"{figures.requests.bad} of {figures.requests.all} requests failed, {figures.beats.bad} late beats"
