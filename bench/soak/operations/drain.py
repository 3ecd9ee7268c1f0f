"""`proxyctl drain --graceful`, and `--undo` once the listeners are closed.

As a load balancer would, clients are sent to other listeners when the drain begins: those that are connected stay until
they are told to leave.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.soak.operations.operation import Scene
from bench.soak.owners import Kill
from bench.soak.subjects.trireme import DEADLINE, Trireme
from tests.kit.client import Address


def perform(scene: Scene[Trireme]) -> Sequence[Kill]:
    subject, names = scene.subject, ("web", "tcp")
    there: dict[Address, Address] = {subject.places[name]: subject.places[f"{name}-2"] for name in names}
    scene.loads.move(there)
    subject.do("drain", "--graceful", "--wait", "--timeout", str(DEADLINE), *names)
    subject.do("drain", "--undo", *names)
    scene.loads.move({old: old for old in there})
    return ()
