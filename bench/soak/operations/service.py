"""What an operator of a service does, and what befalls one."""

from __future__ import annotations

from collections.abc import Sequence

from bench.soak import owners
from bench.soak.operations.operation import Scene
from bench.soak.subjects.service import Service
from bench.soak.subjects.subject import Unavailable
from bench.soak.subjects.trireme import DEADLINE
from tests.kit.process import wait_for


def restart(scene: Scene[Service]) -> Sequence[owners.Kill]:
    """Whoever is connected is told to leave; whoever comes meanwhile waits in the queues that systemd holds."""
    scene.subject.systemctl("restart")
    scene.subject.wait_until_whole()
    return ()


def reload(scene: Scene[Service]) -> Sequence[owners.Kill]:
    subject = scene.subject
    if not subject.can("reload"):
        raise Unavailable("there is no `proxyctl reload` in this version")
    version = subject.change_configuration()
    subject.systemctl("reload")  # systemd before 253 does not wait for the end of it
    wait_for(lambda: subject.version() == version, deadline=DEADLINE, what=f"version {version} is in force")
    return ()


def kill(scene: Scene[Service]) -> Sequence[owners.Kill]:
    """systemd kills the workers when their supervisor has died, and starts the service again."""
    subject = scene.subject
    supervisor = subject.supervisor()
    kills = owners.kill([supervisor], subject.listening, also=subject.others(supervisor))
    subject.wait_until_replaced(supervisor)
    subject.wait_until_whole()
    return kills
