"""Memory per idle keep-alive connection: each has been served one request, and then waits for the next."""

from __future__ import annotations

import contextlib

from bench import usage
from bench.figures import Sample, Unfit
from bench.requests import get
from bench.scenarios.effort import Effort
from bench.subjects import Subject
from tests.kit.client import Connection

_WARM = 200  # connections before the first look, so that what is allocated once is not charged to the others


class Idle:
    """All from one client address; the kernel's own memory for the sockets is not counted, being the same for all."""

    def warm_up(self, subject: Subject) -> None:
        """Nothing: a process that has had many connections keeps their memory, so each repetition needs a new one."""

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        with contextlib.ExitStack() as stack:
            _open(subject, _WARM, stack)
            before = usage.memory(subject.pids())
            _open(subject, effort.connections, stack)
            after = usage.memory(subject.pids())
        return {"connection": (after - before) / effort.connections}


def _open(subject: Subject, count: int, stack: contextlib.ExitStack) -> None:
    address, request = subject.address("main"), get("small")
    for number in range(count):
        try:
            connection = stack.enter_context(Connection(address))
            status = connection.request(request).status
        except OSError as error:
            raise Unfit(f"connection {number} of {count}: {error}") from error
        if status != 200:
            raise Unfit(f"connection {number} of {count} was answered with status {status}")
