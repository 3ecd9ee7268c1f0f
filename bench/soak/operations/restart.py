"""`proxyctl restart`: code and configuration that are on disk now, in the same process."""

from __future__ import annotations

from collections.abc import Sequence

from bench.soak.operations.operation import Scene
from bench.soak.owners import Kill
from bench.soak.subjects.trireme import DEADLINE, Trireme
from tests.kit.process import wait_for


def perform(scene: Scene[Trireme]) -> Sequence[Kill]:
    subject = scene.subject
    # At most three generations live at once; what the oldest still does ends by itself.
    wait_for(lambda: subject.generations() < 3, deadline=DEADLINE, what="an older generation has gone")
    version = subject.change_configuration()
    subject.do("restart")
    subject.expect_version(version)
    subject.wait_until_whole()
    return ()
