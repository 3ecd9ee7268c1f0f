"""The order of a reload: what follows what, and that a failure leaves things as they were, or as they have become."""

from __future__ import annotations

import pytest

from master.supervisor.reload_sequence import Action, Event, Failed, Phase, Progress, advance, begin

WAY = (
    (Event.COMPILED, Phase.SETTLING, ()),
    (Event.SETTLED, Phase.PLACING, (Action.PLACE,)),
    (Event.PLACED, Phase.PREPARING, (Action.PREPARE,)),
    (Event.PREPARED, Phase.APPLYING, (Action.COMMIT,)),
    (Event.APPLIED, Phase.IDLE, ()),
)


def at(phase: Phase) -> Progress:
    """The progress of a reload that has come to `phase`."""
    progress, _ = begin(7)
    for event, _, _ in WAY:
        if progress.phase == phase:
            return progress
        progress, _ = advance(progress, event)
    raise AssertionError(phase)


def test_the_whole_way() -> None:
    progress, actions = begin(7)
    assert (progress, actions) == (Progress(Phase.COMPILING, 7), (Action.COMPILE,))
    for event, phase, expected in WAY:
        progress, actions = advance(progress, event)
        assert (progress.phase, actions) == (phase, expected)
    assert progress == Progress(Phase.IDLE, 7, "done")


@pytest.mark.parametrize(("event", "outcome"), [(Event.UNCHANGED, "unchanged"), (Event.SHOWN, "shown")])
def test_nothing_to_apply(event: Event, outcome: str) -> None:
    progress, actions = advance(at(Phase.COMPILING), event)
    assert (progress.phase, progress.outcome, progress.exit_code) == (Phase.IDLE, outcome, 0)
    assert actions == (Action.DROP,)


@pytest.mark.parametrize("phase", [Phase.COMPILING, Phase.SETTLING, Phase.PLACING, Phase.PREPARING])
def test_until_it_is_committed_a_failure_drops_it(phase: Phase) -> None:
    progress, actions = advance(at(phase), Failed(5, "no"))
    assert progress == Progress(Phase.IDLE, 7, "failed", 5, "no")
    assert actions == (Action.DROP,)


def test_once_committed_nothing_fails() -> None:
    applying = at(Phase.APPLYING)
    assert advance(applying, Failed(5, "no")) == (applying, ())
    idle = Progress()
    assert advance(idle, Failed(5, "no")) == (idle, ())


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase != Phase.IDLE])
def test_what_comes_too_late_or_too_early_changes_nothing(phase: Phase) -> None:
    progress = at(phase)
    expected = {Event.UNCHANGED, Event.SHOWN} if phase == Phase.COMPILING else set()
    for event in set(Event) - expected:
        after, actions = advance(progress, event)
        if after == progress:
            assert actions == ()
        else:
            assert [event] == [way[0] for way in WAY if after.phase == way[1]]
