"""`proxyctl workers`: more of them, one, and as many as before."""

from __future__ import annotations

from collections.abc import Sequence

from bench.soak.operations.operation import Scene
from bench.soak.owners import Kill
from bench.soak.subjects.trireme import WORKERS, Trireme


def perform(scene: Scene[Trireme]) -> Sequence[Kill]:
    for count in (WORKERS + 2, 1, WORKERS):
        scene.subject.do("workers", str(count))
    scene.subject.wait_until_whole()
    return ()
