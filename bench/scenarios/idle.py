"""Idle keep-alive connections: each has been served one request, and then waits for the next.

What memory each takes, and whether others become slower by them.
"""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass

import psutil

from bench import usage
from bench.figures import Sample, Unfit
from bench.requests import get
from bench.scenarios.effort import Effort
from bench.scenarios.under_load import Requests
from bench.subjects import Subject
from tests.kit.client import Connection
from tests.kit.process import wait_for

_SPARE = 1500  # descriptors of a process that are for other things than idle connections, ours keep some of them free
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


@dataclass(frozen=True)
class BesideIdle(Requests):
    """`request` on a few busy connections, twice: with nothing else, and beside many idle ones."""

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        alone = super().measure(subject, effort)
        with contextlib.ExitStack() as stack:
            before = _descriptors(subject)
            _open(subject, effort.connections, stack)
            beside = super().measure(subject, effort)
        # Closing them is work that must not fall into the next subject's time.
        gone = before + effort.connections // 2
        wait_for(lambda: _descriptors(subject) < gone, deadline=30, what="the idle connections are closed")
        return {**beside, "burden": beside["cpu"] / alone["cpu"]}


def _descriptors(subject: Subject) -> int:
    return sum(psutil.Process(pid).num_fds() for pid in subject.pids())


def _open(subject: Subject, count: int, stack: contextlib.ExitStack) -> None:
    _check_room(subject, count)
    address, request = subject.address("main"), get("small")
    for number in range(count):
        try:
            connection = stack.enter_context(Connection(address))
            status = connection.request(request).status
        except OSError as error:
            raise Unfit(f"connection {number} of {count}: {error}") from error
        if status != 200:
            raise Unfit(f"connection {number} of {count} was answered with status {status}")


def _check_room(subject: Subject, count: int) -> None:
    """Past its limit of descriptors a proxy leaves connections in the queue, where they time out: say so instead."""
    limits = [psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE)[0] for pid in subject.pids()]
    for whose, limit in (("the benchmark", resource.getrlimit(resource.RLIMIT_NOFILE)[0]), ("the proxy", max(limits))):
        if limit < count + _SPARE:
            raise Unfit(f"{whose} may open {limit} descriptors: too few for {count} connections (`ulimit -Hn`)")
