"""What a kill excuses, and to which operation a request belongs."""

from __future__ import annotations

import pytest

from bench.soak import report
from bench.soak.owners import Kill
from bench.soak.verdict import BEFORE, Event, judge, owner
from tests.kit.load import Outcome

KILL = Kill(time=10.0, pid=7, ports=frozenset({5000, 5001}))
EVENTS = [Event("restart", 5.0, 6.0), Event("kill", 10.0, 11.0)]


def outcome(start: float, end: float, cause: str = "", *, port: int = 5000, opened: float | None = None) -> Outcome:
    return Outcome(0, opened is not None, start, end, cause, port, start if opened is None else opened)


@pytest.mark.parametrize(
    ("failed", "excused"),
    [
        (outcome(9.9, 10.1, "cut"), True),
        (outcome(12.0, 12.1, "closed idle", opened=3.0), True),  # it was idle when its worker died
        (outcome(9.9, 10.1, "cut", port=5002), False),  # another worker had it
        (outcome(9.0, 9.9, "cut"), False),  # before the kill
        (outcome(10.1, 10.2, "closed"), False),  # the same port again, on a connection that came later
        (outcome(9.9, 10.1, "refused", port=0), False),
    ],
)
def test_excused_is_what_the_killed_process_had(failed: Outcome, excused: bool) -> None:
    assert owner(failed, [KILL]) == (KILL if excused else None)
    verdict = judge(EVENTS, [KILL], {"load": [failed]})
    assert verdict.good == excused
    assert verdict.total.excused == excused
    assert [fault.outcome for fault in verdict.faults] == ([] if excused else [failed])


def test_a_request_belongs_to_the_last_operation_that_had_begun_when_it_ended() -> None:
    outcomes = [outcome(1.0, 2.0), outcome(4.0, 5.5), outcome(6.0, 7.0), outcome(9.0, 20.0)]
    verdict = judge(EVENTS, [], {"a": outcomes[:3], "b": outcomes[3:]})
    assert {name: line.requests for name, line in verdict.operations.items()} == {BEFORE: 1, "restart": 2, "kill": 1}
    assert {name: line.requests for name, line in verdict.kinds.items()} == {"a": 3, "b": 1}
    assert (verdict.total.requests, verdict.total.longest, verdict.total.times) == (4, 11.0, 2)
    assert verdict.good


def test_an_operation_that_goes_wrong_is_no_good_run() -> None:
    verdict = judge([Event("restart", 5.0, 6.0, "exit code 1")], [], {"a": [outcome(5.0, 5.1)]})
    assert not verdict.good
    assert verdict.total.problems == ["exit code 1"]


def test_the_report_names_what_is_not_excused_and_what_is_known_of_it() -> None:
    bad = outcome(5.25, 5.5, "closed", port=4242, opened=1.0)
    verdict = judge(EVENTS, [KILL], {"keep-alive": [bad, outcome(9.9, 10.1, "cut")]})
    text = report.text("us", verdict, {"reload": "not yet"}, lambda outcome: [f"a line about {outcome.port}"])
    assert "keep-alive: closed, 0.50 s after the beginning of restart, after 0.25 s on an open connection" in text
    assert "a line about 4242" in text
    assert "not available: not yet" in text
    assert "1 not excused (1 closed)" in text
    assert "excused: 1 on connections that a killed process had accepted" in text
    found = report.as_json(verdict, {})
    assert found["operations"]["restart"]["good"] is False
    assert found["operations"]["kill"]["good"] is True
    assert [(fault["operation"], fault["port"]) for fault in found["faults"]] == [("restart", 4242)]
