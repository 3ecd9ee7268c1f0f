"""What a hot restart does next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from master.supervisor.restart_sequence import Action, Event, Failed, Phase, Progress, advance, begin

ORDER = (Event.COMPILED, Event.READY, Event.RETIRED, Event.SETTLED, Event.EXECUTED)
FAILED = Failed(6, "too slow")
EVENTS = st.sampled_from([*ORDER, Event.PASSED, FAILED])


def test_a_restart_that_goes_well() -> None:
    progress, actions = begin(2)
    taken = list(actions)
    for event in ORDER:
        progress, actions = advance(progress, event)
        taken += actions
    assert taken == [Action.COMPILE, Action.START, Action.COMMIT, Action.LEAD, Action.EXECUTE]
    assert progress == Progress(Phase.IDLE, 2, outcome="done")


def test_a_canary_is_tried_before_anything_is_committed() -> None:
    progress, actions = begin(2, canary=30.0)
    taken = list(actions)
    for event in (*ORDER[:2], Event.READY, Event.PASSED, *ORDER[2:]):  # READY again: a worker was started anew
        progress, actions = advance(progress, event)
        taken += actions
    assert taken == [Action.COMPILE, Action.START, Action.TRY, Action.COMMIT, Action.LEAD, Action.EXECUTE]
    assert progress == Progress(Phase.IDLE, 2, 30.0, "done")


def test_a_canary_that_fails_is_removed() -> None:
    progress, _ = begin(2, canary=30.0)
    for event in ORDER[:2]:
        progress, _ = advance(progress, event)
    assert progress.phase == Phase.CANARY
    progress, actions = advance(progress, FAILED)
    assert actions == (Action.REMOVE,)
    assert progress == Progress(Phase.IDLE, 2, 30.0, "failed", 6, "too slow")


def after(*events: Event | Failed, canary: float = 0.0) -> tuple[Progress, list[Action]]:
    progress, actions = begin(2, canary=canary)
    taken = list(actions)
    for event in events:
        progress, actions = advance(progress, event)
        taken += actions
    return progress, taken


def test_before_the_commit_a_failure_removes_what_there_is() -> None:
    for events in ([], [Event.COMPILED]):
        progress, taken = after(*events, FAILED)
        assert taken[-1] == Action.REMOVE
        assert progress == Progress(Phase.IDLE, 2, 0.0, "failed", 6, "too slow")


def test_after_the_commit_nothing_is_removed_and_somebody_leads() -> None:
    for events in (ORDER[:2], ORDER[:3], ORDER[:4]):
        progress, taken = after(*events, FAILED)
        assert Action.REMOVE not in taken
        assert taken.count(Action.LEAD) == 1
        assert (progress.phase, progress.outcome, progress.exit_code) == (Phase.IDLE, "done", 6)


def test_the_supervisor_tries_again_until_no_signal_is_in_its_way() -> None:
    _, taken = after(*ORDER[:3], Event.SETTLED, Event.SETTLED)
    assert taken[-2:] == [Action.EXECUTE, Action.EXECUTE]


@given(st.lists(EVENTS, max_size=12), st.sampled_from([0.0, 30.0]))
def test_whatever_happens_in_whatever_order(events: list[Event | Failed], canary: float) -> None:
    progress, taken = after(*events, canary=canary)
    for action in (Action.COMPILE, Action.START, Action.TRY, Action.COMMIT, Action.LEAD, Action.REMOVE):
        assert taken.count(action) <= 1
    assert not {Action.COMMIT, Action.REMOVE} <= set(taken)  # what serves is never removed
    assert [a for a in taken if a != Action.EXECUTE] == sorted(
        (a for a in taken if a != Action.EXECUTE), key=lambda action: action.value
    )
    if progress.phase == Phase.IDLE:
        assert progress.outcome
        assert (Action.COMMIT in taken) == (progress.outcome == "done")
        assert (Action.LEAD in taken) == (Action.COMMIT in taken)
        for event in (*ORDER, Event.PASSED, FAILED):
            assert advance(progress, event) == (progress, ())
