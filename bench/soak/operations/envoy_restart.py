"""Another epoch; the one before drains and ends."""

from __future__ import annotations

from collections.abc import Sequence

from bench.soak.operations.operation import Scene
from bench.soak.owners import Kill
from bench.soak.subjects.envoy import EnvoySubject
from bench.soak.subjects.trireme import DEADLINE
from tests.kit.process import wait_for


def perform(scene: Scene[EnvoySubject]) -> Sequence[Kill]:
    """Envoy knows two generations at once, so the old one has to have ended before the next."""
    scene.subject.start_epoch()
    wait_for(lambda: scene.subject.running() == 1, deadline=DEADLINE, what="the epoch before has ended")
    return ()
