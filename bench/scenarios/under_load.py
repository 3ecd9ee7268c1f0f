"""Load of one kind of request: requests per second, CPU time per request, latency, memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench import load, usage
from bench.figures import Sample, Unfit
from bench.scenarios.effort import Effort
from bench.subjects import Subject
from tests.kit.client import fetch

_WARM = 100  # requests before the first figure: the interpreter has specialised its code, memory and pools are there


def under(subject: Subject, run: Callable[[], load.Outcome]) -> Sample:
    """What `subject` used while `run` went on, beside what the client saw. Raises Unfit as both do."""
    pids = subject.pids()
    before = usage.cpu(pids)
    outcome = run()
    after = usage.cpu(pids)
    user, system = ((after[part] - before[part]) / outcome.requests * 1e6 for part in (0, 1))
    return {
        "rps": outcome.rps,
        "cpu": user + system,
        "user": user,
        "system": system,
        "p50": outcome.p50,
        "p99": outcome.p99,
        "p999": outcome.p999,
        "memory": usage.memory(subject.pids()),
    }


@dataclass(frozen=True)
class Requests:
    """`request` from wrk, one after the other on each of `connections`."""

    request: bytes
    connections: int = 32
    listener: str = "main"

    def warm_up(self, subject: Subject) -> None:
        address = subject.address(self.listener)
        for _ in range(_WARM):
            if (status := fetch(address, self.request).status) != 200:
                raise Unfit(f"status {status}")

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        address = subject.address(self.listener)
        run = lambda: load.wrk(address, self.request, connections=self.connections, seconds=effort.seconds)  # noqa: E731
        return under(subject, run)


@dataclass(frozen=True)
class Downloads:
    """`request` for a large body, a fixed number of times on one connection."""

    request: bytes
    listener: str = "main"

    def warm_up(self, subject: Subject) -> None:
        load.download(subject.address(self.listener), self.request, count=1)

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        address = subject.address(self.listener)
        return under(subject, lambda: load.download(address, self.request, count=effort.downloads))
