"""What many clusters cost: until a change of one has reached all workers, and in memory."""

from __future__ import annotations

import contextlib
import time

from bench import usage
from bench.figures import Sample, Unfit
from bench.requests import get
from bench.scenarios.effort import Effort
from bench.subjects import Subject
from bench.subjects.many_clusters import CLUSTERS, HOSTS, TOLD, ManyClusters
from tests.kit.client import Connection, fetch

_CONNECTIONS = 16  # as many that each worker has some
_DEADLINE = 30.0  # s


class Change:
    """The name of one cluster gets another address: how long until every connection's requests go there, the wait for
    the next lookup (10 ms at most) and one round of requests included.
    """

    def warm_up(self, subject: Subject) -> None:
        """Nothing: what came before is the same for all."""

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        many = _many(subject)
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(Connection(many.address("main"))) for _ in range(_CONNECTIONS)]
            before = _asked(connections)
            number = int(next(iter(before)).rpartition(":")[0].rpartition(".")[2]) % 200 + 1
            many.move(f"127.0.0.{number}")
            began = time.monotonic()
            while _asked(connections) != {f"127.0.0.{number}:{many.origin.port}"}:
                if time.monotonic() - began > _DEADLINE:
                    raise Unfit(f"no change within {_DEADLINE:g} s")
            return {"change": (time.monotonic() - began) * 1e3}


def _asked(connections: list[Connection]) -> set[str]:
    """Where requests go."""
    for connection in connections:
        connection.send(get("small"))
    return {connection.receive().value(TOLD) or "" for connection in connections}


class HostMemory:
    """Of one host more in a cluster."""

    def warm_up(self, subject: Subject) -> None:
        """Nothing: memory is looked at once after the start."""

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        return {"host": (_memory(_many(subject)) - _less(subject, CLUSTERS, 1)) / (CLUSTERS * (HOSTS - 1))}


class ClusterMemory:
    """Of one cluster more, with a single host."""

    def warm_up(self, subject: Subject) -> None:
        """As above."""

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        return {"cluster": (_less(subject, CLUSTERS, 1) - _less(subject, 0, 0)) / CLUSTERS}


def _less(subject: Subject, clusters: int, hosts: int) -> int:
    smaller = _many(subject).smaller(clusters, hosts)
    try:
        return _memory(smaller)
    finally:
        smaller.close()


def _memory(subject: ManyClusters) -> int:
    fetch(subject.address("main"), get("small"))
    return usage.memory(subject.pids())


def _many(subject: Subject) -> ManyClusters:
    if not isinstance(subject, ManyClusters):
        raise Unfit("it has no such configuration")
    return subject
