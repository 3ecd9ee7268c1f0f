"""SIGKILL to any worker, also to one that drains: what it had accepted is lost with it, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from bench.soak import owners
from bench.soak.operations.operation import Scene
from bench.soak.subjects.trireme import Trireme


def perform(scene: Scene[Trireme]) -> Sequence[owners.Kill]:
    subject = scene.subject
    kills: list[owners.Kill] = []
    while not kills:  # one that drains may end before we reach it
        kills = owners.kill([scene.dice.choice(subject.workers())], subject.listening)
    subject.wait_until_whole()
    return kills
