"""`USR2` to the master: a new worker takes the sockets over, the old one finishes what it has."""

from __future__ import annotations

from collections.abc import Sequence

from bench.soak.operations.operation import Scene
from bench.soak.owners import Kill
from bench.soak.subjects.haproxy import HAProxy
from bench.soak.subjects.trireme import DEADLINE
from tests.kit.process import wait_for


def perform(scene: Scene[HAProxy]) -> Sequence[Kill]:
    subject = scene.subject
    old = set(subject.workers())
    subject.reload()
    wait_for(lambda: set(subject.workers()) - old, deadline=DEADLINE, what="a new worker")
    wait_for(lambda: not set(subject.workers()) & old, deadline=DEADLINE, what="the old worker has ended")
    return ()
