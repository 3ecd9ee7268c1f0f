"""Load of one kind of request: requests per second, CPU time per request, latency, memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench import load, usage
from bench.client import Way, fetch
from bench.figures import Sample, Unfit
from bench.h2load import h2load
from bench.scenarios.effort import Effort
from bench.subjects import Subject

_HANDSHAKES = 500  # for each second that other loads take
_WARM = 100  # requests before the first figure: the interpreter has specialised its code, memory and pools are there


def under(subject: Subject, run: Callable[[], load.Outcome]) -> Sample:
    """What `subject` used while `run` went on, beside what the client saw. Raises Unfit as both do."""
    pids = subject.pids()
    before = usage.cpu(pids)
    outcome = run()
    after = usage.cpu(pids)
    user, system = ((after[part] - before[part]) / outcome.requests * 1e6 for part in (0, 1))
    return {
        "rps": outcome.rps,
        "cpu": user + system,
        "user": user,
        "system": system,
        "p50": outcome.p50,
        "p99": outcome.p99,
        "p999": outcome.p999,
        "memory": usage.memory(subject.pids()),
    }


@dataclass(frozen=True)
class Requests:
    """`request` from wrk, one after the other on each of `connections`."""

    request: bytes
    connections: int = 32
    listener: str = "main"
    way: Way = Way.HTTP1

    def warm_up(self, subject: Subject) -> None:
        address = subject.address(self.listener)
        for _ in range(_WARM):
            if (status := fetch(address, self.request, self.way).status) != 200:
                raise Unfit(f"status {status}")

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        address = subject.address(self.listener)
        return under(subject, lambda: self.load(address, effort.seconds))

    def load(self, address: load.Address, seconds: int) -> load.Outcome:
        tls = self.way is Way.TLS
        return load.wrk(address, self.request, connections=self.connections, seconds=seconds, tls=tls)


@dataclass(frozen=True)
class Http2Requests(Requests):
    """`request` from h2load, on `streams` streams of each of `connections` at a time."""

    connections: int = 8
    way: Way = Way.HTTP2
    streams: int = 16

    def load(self, address: load.Address, seconds: int) -> load.Outcome:
        return h2load(address, self.request, connections=self.connections, streams=self.streams, seconds=seconds)


@dataclass(frozen=True)
class Downloads:
    """`request` for a large body, a fixed number of times on one connection."""

    request: bytes
    listener: str = "main"
    tls: bool = False

    def warm_up(self, subject: Subject) -> None:
        load.download(subject.address(self.listener), self.request, count=1, tls=self.tls)

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        address = subject.address(self.listener)
        return under(subject, lambda: load.download(address, self.request, count=effort.downloads, tls=self.tls))


@dataclass(frozen=True)
class Calls:
    """Unary gRPC, 32 at a time."""

    def warm_up(self, subject: Subject) -> None:
        load.grpc(subject.address("grpc"), "unary", 1)

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        address = subject.address("grpc")
        return under(subject, lambda: load.grpc(address, "unary", effort.seconds))


@dataclass(frozen=True)
class Messages:
    """Of one bidirectional stream of gRPC; each is a request of the figures."""

    count: int = 10_000

    def warm_up(self, subject: Subject) -> None:
        load.grpc(subject.address("grpc"), "stream", _WARM)

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        address = subject.address("grpc")
        return under(subject, lambda: load.grpc(address, "stream", self.count))


@dataclass(frozen=True)
class Handshakes:
    """TLS connections that end with their handshakes; each is a request of the figures."""

    resumed: bool = False

    def warm_up(self, subject: Subject) -> None:
        load.handshakes(subject.address("tls"), count=_WARM, resumed=self.resumed)

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        address, count = subject.address("tls"), effort.seconds * _HANDSHAKES
        return under(subject, lambda: load.handshakes(address, count=count, resumed=self.resumed))
