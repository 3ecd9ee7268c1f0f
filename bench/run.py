"""One run: each scenario's subjects in turn, repetition by repetition, so that a busy machine hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.figures import Cell, Row, Table, Unfit
from bench.recording import differences
from bench.scenarios import Scenario
from bench.scenarios.effort import Effort
from bench.scenarios.under_load import Requests
from bench.subjects import Subjects


class UnequalWork(Exception):
    """Ours and Envoy do not do the same to a request; the text says what differs."""


def compare_work(scenarios: Sequence[Scenario], subjects: Subjects) -> int:
    """Sends each kind of request of `scenarios` once through ours and Envoy; returns how many kinds there were.

    Raises UnequalWork, and Unfit where one of the two cannot run.
    """
    kinds = {
        (scenario.measurement.request, scenario.measurement.listener, scenario.measurement.way): scenario.name
        for scenario in reversed(scenarios)
        if isinstance(scenario.measurement, Requests)
    }
    for (request, listener, way), name in kinds.items():
        ours, theirs = (subjects.get(subject).address(listener) for subject in ("trireme", "envoy"))
        if found := differences(ours, theirs, request, way):
            raise UnequalWork("\n".join([f"ours and Envoy do not do the same to the request of {name}:", *found]))
    return len(kinds)


def measure(scenario: Scenario, subjects: Subjects, effort: Effort) -> Row:
    """All repetitions of one scenario. What cannot be measured is a cell with its reason."""
    row = {name: Cell() for name in scenario.subjects(effort)}

    def attempt(name: str, step: Callable[[], None]) -> None:
        if not row[name].problem:
            try:
                step()
            except (Unfit, AssertionError, OSError) as error:
                row[name].problem = str(error) or type(error).__name__

    def warm_up(name: str) -> None:
        scenario.measurement.warm_up(subjects.get(name))

    def repeat(name: str) -> None:
        if scenario.fresh:
            subjects.end(name)
        row[name].samples.append(scenario.measurement.measure(subjects.get(name), effort))

    names = list(row)
    for name in names:
        attempt(name, lambda name=name: warm_up(name))  # type: ignore[misc]
    for repetition in range(scenario.repetitions(effort)):
        if scenario.together:
            with ThreadPoolExecutor(len(names)) as pool:
                for name in names:
                    pool.submit(attempt, name, lambda name=name: repeat(name))  # type: ignore[misc]
            continue
        first = repetition % len(names)  # nobody is always the first, or always behind the same other
        for name in names[first:] + names[:first]:
            attempt(name, lambda name=name: repeat(name))  # type: ignore[misc]
    return row


def run(
    scenarios: Sequence[Scenario], subjects: Subjects, effort: Effort, show: Callable[[Scenario, Row], None]
) -> Table:
    """All of `scenarios`; each row goes to `show` as soon as it is there."""
    table: Table = {}
    for number, scenario in enumerate(scenarios):
        subjects.keep({name for later in scenarios[number:] for name in later.subjects(effort)})
        if not scenario.subjects(effort):
            continue
        table[scenario.name] = measure(scenario, subjects, effort)
        show(scenario, table[scenario.name])
    return table
