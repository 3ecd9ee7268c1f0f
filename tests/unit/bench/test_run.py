"""The order of a run, and what becomes of subjects that cannot be measured."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bench import machine, run, subjects
from bench.figures import Row, Sample, Unfit
from bench.scenarios import Scenario
from bench.scenarios.effort import Effort
from bench.subjects import Subject, Subjects
from bench.upstreams import Upstreams

EFFORT = Effort(repetitions=3, fresh=2, seconds=1, connections=1, downloads=1, references=False)


class Diary:
    """A measurement that writes down whom it saw; `broken` cannot be measured, `fails` breaks in its second turn."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def warm_up(self, subject: Any) -> None:
        if subject == "broken":
            raise Unfit("no such listener")

    def measure(self, subject: Any, effort: Effort) -> Sample:
        self.seen.append(subject)
        if subject == "fails" and self.seen.count("fails") == 2:
            raise Unfit("errors in 7 requests")
        return {"cpu": 1.0}


class Names(Subjects):
    """Subjects that are their names."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def get(self, name: str) -> Any:
        return name

    def end(self, name: str) -> None:
        self.ended.append(name)

    def keep(self, names: object) -> None:
        """There is nothing to end."""


def measured(*names: str, fresh: bool = False) -> tuple[Row, list[str], list[str]]:
    diary, known = Diary(), Names()
    scenario = Scenario("s", "title", diary, pair=names, references=(), fresh=fresh)
    return run.measure(scenario, known, EFFORT), diary.seen, known.ended


def test_subjects_take_turns_and_another_one_begins_each_time() -> None:
    row, seen, ended = measured("a", "b", "c")
    assert seen == [*"abc", *"bca", *"cab"]
    assert [len(cell.samples) for cell in row.values()] == [3, 3, 3]
    assert ended == []


def test_a_subject_that_fails_is_void_and_the_others_go_on() -> None:
    row, seen, _ = measured("a", "broken", "fails")
    assert row["broken"].problem == "no such listener"
    assert row["fails"].problem == "errors in 7 requests"
    assert row["fails"].values("cpu") == []
    assert row["a"].values("cpu") == [1, 1, 1]
    assert seen.count("broken") == 0
    assert seen.count("fails") == 2


def test_fresh_scenarios_end_their_subjects_before_each_repetition() -> None:
    _, seen, ended = measured("a", "b", fresh=True)
    assert seen == ended == ["a", "b", "b", "a"]


def test_a_small_difference_is_measured_more_often_in_the_same_turns() -> None:
    diary = Diary()
    scenario = Scenario("s", "title", diary, pair=("a",), extra=("b",), references=(), turns=2)
    run.measure(scenario, Names(), EFFORT)
    assert diary.seen == [*"ab", *"ba"] * 3


def test_together_nobody_waits_for_another_one() -> None:
    here = threading.Barrier(2, timeout=10)

    class Meeting(Diary):
        def measure(self, subject: Any, effort: Effort) -> Sample:
            here.wait()
            return super().measure(subject, effort)

    scenario = Scenario("s", "title", Meeting(), pair=("a", "b"), references=(), together=True)
    row = run.measure(scenario, Names(), EFFORT)
    assert [(cell.problem, cell.values("cpu")) for cell in row.values()] == [("", [1, 1, 1])] * 2


def test_only_the_subjects_that_are_asked_for_are_measured() -> None:
    diary = Diary()
    some = Effort(repetitions=1, fresh=1, seconds=1, connections=1, downloads=1, references=False, only=frozenset("b"))
    both, neither = (Scenario(name, "title", diary, pair=tuple(name), references=()) for name in ("ab", "cd"))
    assert list(run.run([both, neither], Names(), some, lambda *_: None)) == ["ab"]
    assert diary.seen == ["b"]


def test_a_subject_that_cannot_start_says_why_each_time_and_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def start(upstreams: Upstreams) -> Subject:
        tries.append(1)
        raise Unfit("haproxy is not installed")

    monkeypatch.setitem(subjects.STARTERS, "haproxy", subjects.Starter(start))
    known = Subjects(None, machine.choose_cores())  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(Unfit, match="haproxy is not installed"):
            known.get("haproxy")
    assert len(tries) == 1
