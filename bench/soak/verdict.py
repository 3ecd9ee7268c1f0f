"""Which operation does a failed request belong to, and is it excused? Pure.

Operations follow one another, and a request belongs to the last one that had begun when it ended. **Excused is only
what a killed process took with it**: a request on a connection that it had accepted. No other operation may fail one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.soak.owners import Kill
from tests.kit.load import Outcome

BEFORE = "no operation yet"


class Event(NamedTuple):
    """One operation. Times are `time.monotonic()`; `problem` says why the operation itself went wrong."""

    name: str
    began: float
    ended: float
    problem: str = ""


class Fault(NamedTuple):
    """A failed request that nothing excuses."""

    event: Event
    kind: str
    outcome: Outcome


@dataclass
class Line:
    """What came of all requests of one operation, or of one kind of load. `times` counts operations."""

    times: int = 0
    requests: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    excused: int = 0
    longest: float = 0.0
    """Seconds that the longest request took, good or bad."""
    problems: list[str] = field(default_factory=list)

    @property
    def unexcused(self) -> int:
        return self.failed.total() - self.excused

    @property
    def good(self) -> bool:
        return not self.unexcused and not self.problems


@dataclass
class Verdict:
    """`operations` and `kinds` count the same requests, cut in two ways."""

    operations: dict[str, Line]
    kinds: dict[str, Line]
    faults: list[Fault]

    @property
    def good(self) -> bool:
        return all(line.good for line in self.operations.values())

    @property
    def total(self) -> Line:
        lines = self.operations.values()
        return Line(
            times=sum(line.times for line in lines),
            requests=sum(line.requests for line in lines),
            failed=sum((line.failed for line in lines), Counter()),
            excused=sum(line.excused for line in lines),
            longest=max(line.longest for line in lines),
            problems=[problem for line in lines for problem in line.problems],
        )


def judge(events: Sequence[Event], kills: Sequence[Kill], outcomes: Mapping[str, Sequence[Outcome]]) -> Verdict:
    """`events` by time; `outcomes` by kind of load."""
    start = Event(BEFORE, 0.0, 0.0)
    operations = {BEFORE: Line(), **{event.name: Line() for event in events}}
    for event in events:
        line = operations[event.name]
        line.times += 1
        if event.problem:
            line.problems.append(event.problem)
    kinds = {kind: Line() for kind in outcomes}
    faults = []
    for kind, of_kind in outcomes.items():
        for outcome in of_kind:
            event = next((event for event in reversed(events) if event.began <= outcome.end), start)
            excused = bool(outcome.cause) and owner(outcome, kills) is not None
            for line in (operations[event.name], kinds[kind]):
                line.requests += 1
                line.longest = max(line.longest, outcome.end - outcome.start)
                if outcome.cause:
                    line.failed[outcome.cause] += 1
                    line.excused += excused
            if outcome.cause and not excused:
                faults.append(Fault(event, kind, outcome))
    faults.sort(key=lambda fault: fault.outcome.end)
    return Verdict(operations, kinds, faults)


def owner(outcome: Outcome, kills: Sequence[Kill]) -> Kill | None:
    """The kill of the process that had this request's connection, if there was one before it ended."""
    for kill in kills:
        if outcome.port in kill.ports and outcome.opened <= kill.time <= outcome.end:
            return kill
    return None
