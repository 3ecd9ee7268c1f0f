"""Who is tried out, and what happens to it. `TRIALS` is the table of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.soak import operations
from bench.soak.operations.operation import Operation
from bench.soak.subjects.envoy import EnvoySubject
from bench.soak.subjects.haproxy import HAProxy
from bench.soak.subjects.service import Service
from bench.soak.subjects.subject import Subject
from bench.soak.subjects.trireme import Trireme


@dataclass(frozen=True)
class Trial:
    """`start` raises Unfit where the subject cannot run. `rounds` are those of a whole run.

    `ours`: a failure that nothing excuses makes the run fail; others are measured for comparison.
    """

    start: Callable[[], Subject]
    operations: Sequence[Operation[Any]]
    rounds: int = 20
    ours: bool = True


TRIALS = {
    "trireme": Trial(Trireme, operations.TRIREME),
    "service": Trial(Service, operations.SERVICE, rounds=5),
    "haproxy": Trial(HAProxy, operations.HAPROXY, ours=False),
    "envoy": Trial(EnvoySubject, operations.ENVOY, ours=False),
}
DEFAULT = ("trireme", "service")
