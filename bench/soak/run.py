"""One run: the load begins, round after round of operations follows, the load ends."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.soak.loads import LOADS, parts
from bench.soak.operations.operation import Operation, Scene
from bench.soak.owners import Kill
from bench.soak.subjects.subject import Subject, Unavailable
from bench.soak.verdict import Event
from tests.kit.load import Loads, Outcome

SETTLE = 0.3  # s of load before the first operation, after each, and before the end


@dataclass
class Record:
    """`unavailable`: operations by name that this version of the subject does not have, with the reason."""

    events: list[Event] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    outcomes: Mapping[str, Sequence[Outcome]] = field(default_factory=dict)


def run(
    subject: Subject,
    operations: Sequence[Operation[Any]],
    *,
    rounds: int,
    deadline: float,
    seed: int,
    say: Callable[[Event], None],
) -> Record:
    """At most `rounds` rounds; none begins, and no operation, after `deadline` (`time.monotonic()`).

    It ends early if the subject ends. `say` is told of each operation when it is over.
    """
    record = Record()
    with Loads(parts(subject.places, subject.patience), within=subject.within) as loads:
        scene = Scene(subject, loads, random.Random(seed))
        time.sleep(SETTLE)
        for operation in sequence(operations, rounds):
            if time.monotonic() >= deadline or not subject.alive():
                break
            if operation.name not in record.unavailable:
                _perform(operation, scene, record, say)
        time.sleep(SETTLE)
        reports = loads.finish_parts()
    record.outcomes = {kind.name: report.outcomes for kind, report in zip(LOADS, reports, strict=True)}
    return record


def sequence(operations: Sequence[Operation[Any]], rounds: int) -> Iterator[Operation[Any]]:
    """The operations of so many rounds, one after the other."""
    for number in range(rounds):
        for operation in operations:
            yield from [operation] * operation.in_round(number)


def _perform(operation: Operation[Any], scene: Scene[Any], record: Record, say: Callable[[Event], None]) -> None:
    began, problem = time.monotonic(), ""
    try:
        record.kills += operation.perform(scene)
    except Unavailable as reason:
        record.unavailable[operation.name] = str(reason)
        return
    except (AssertionError, OSError) as error:
        problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    event = Event(operation.name, began, time.monotonic(), problem)
    record.events.append(event)
    say(event)
    time.sleep(SETTLE)
