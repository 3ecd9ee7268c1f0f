"""What a whole run consists of."""

from __future__ import annotations

from collections import Counter

from bench.soak.loads import LOADS
from bench.soak.run import sequence
from bench.soak.trials import DEFAULT, TRIALS
from tests.kit.load.kinds import KINDS


def test_the_load_is_bounded_and_has_every_kind() -> None:
    assert sum(kind.connections for kind in LOADS) <= 64
    plain = {mode for mode in KINDS if not mode.startswith("tls-")}  # no listener of the soak speaks TLS
    assert {kind.mode for kind in LOADS} == plain
    assert all(kind.pause for kind in LOADS)


def test_a_whole_run_is_what_was_promised() -> None:
    trial = TRIALS["trireme"]
    counts = Counter(operation.name for operation in sequence(trial.operations, trial.rounds))
    assert counts["hot restart"] == counts["reload"] == 20
    assert counts["worker kill"] == 50
    assert min(counts.values()) >= 4
    for name in ("haproxy", "envoy"):
        (operation,) = TRIALS[name].operations
        assert Counter(sequence([operation], TRIALS[name].rounds)) == {operation: 20}
    assert set(DEFAULT) == {name for name, trial in TRIALS.items() if trial.ours}


def test_one_round_has_each_operation_that_does_not_take_turns_first() -> None:
    names = [operation.name for operation in sequence(TRIALS["trireme"].operations, 1)]
    assert names == ["hot restart", "worker kill", "worker kill", "reload", "worker kill", "graceful drain and undo"]
