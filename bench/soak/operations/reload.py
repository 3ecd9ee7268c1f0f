"""`proxyctl reload`: another configuration in the same processes."""

from __future__ import annotations

from collections.abc import Sequence

from bench.soak.operations.operation import Scene
from bench.soak.owners import Kill
from bench.soak.subjects.subject import Unavailable
from bench.soak.subjects.trireme import Trireme


def perform(scene: Scene[Trireme]) -> Sequence[Kill]:
    subject = scene.subject
    if subject.command("reload", "--help").returncode == 2:
        raise Unavailable("there is no `proxyctl reload` in this version")
    version = subject.change_configuration()
    subject.do("reload")
    subject.expect_version(version)
    return ()
