"""SIGKILL to a process that serves no connection: it costs no request."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from bench.soak.operations.operation import Scene
from bench.soak.owners import Kill
from bench.soak.subjects.trireme import DEADLINE, Trireme
from tests.kit.process import wait_for


def controller(scene: Scene[Trireme]) -> Sequence[Kill]:
    return _kill(scene.subject, "controller")


def template(scene: Scene[Trireme]) -> Sequence[Kill]:
    return _kill(scene.subject, "template")


def _kill(subject: Trireme, role: str) -> Sequence[Kill]:
    victim = subject.helper(role)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: _replaced(subject, role, victim), deadline=DEADLINE, what=f"another {role}")
    subject.wait_until_whole()
    return ()


def _replaced(subject: Trireme, role: str, victim: int) -> bool:
    try:
        return subject.helper(role) != victim
    except ValueError:  # there is none
        return False
