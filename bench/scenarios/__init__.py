"""What is measured. `SCENARIOS` is the table of it, in the order of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bench import requests
from bench.client import Way
from bench.figures import Sample
from bench.scenarios.effort import Effort
from bench.scenarios.idle import BesideIdle, Idle
from bench.scenarios.many_clusters import Change, ClusterMemory, HostMemory
from bench.scenarios.neighbour import Neighbour
from bench.scenarios.replace import Replace
from bench.scenarios.rest import Rest
from bench.scenarios.start import Start
from bench.scenarios.under_load import Calls, Downloads, Handshakes, Http2Requests, Messages, Requests
from bench.subjects import Subject

_PAIR = ("trireme", "envoy")
_MANY_CLUSTERS = ("trireme-json", "envoy-json")
_REFERENCES = ("haproxy", "nginx")


class Measurement(Protocol):
    """How a scenario is measured. Both raise Unfit when there is no honest figure."""

    def warm_up(self, subject: Subject) -> None: ...

    def measure(self, subject: Subject, effort: Effort) -> Sample:
        """One repetition."""
        ...


@dataclass(frozen=True)
class Scenario:
    """`extra` subjects are always measured; HAProxy and nginx (`references`) not in a quick run, which leaves out whole
    scenarios too (`quick`). `fresh`: each repetition has newly started subjects. `together`: all subjects at the same
    time on the same core, where what is to be seen is smaller than what a machine does from second to second;
    requests/s and latency say nothing then. `turns`: so many times the usual repetitions.
    """

    name: str
    title: str
    measurement: Measurement
    extra: tuple[str, ...] = ()
    pair: tuple[str, ...] = _PAIR
    references: tuple[str, ...] = _REFERENCES
    quick: bool = True
    fresh: bool = False
    together: bool = False
    turns: int = 1

    def repetitions(self, effort: Effort) -> int:
        """How often each subject is measured."""
        return effort.fresh if self.fresh else effort.repetitions * self.turns

    def subjects(self, effort: Effort) -> tuple[str, ...]:
        """Those to be measured, in the order of their lines."""
        wanted = (*self.pair, *self.extra, *(self.references if effort.references else ()))
        return tuple(name for name in wanted if name in effort.only or not effort.only)


_SMALL = requests.get("small")

SCENARIOS = (
    Scenario(
        "small-32",
        "small keep-alive GET, 32 connections",
        Requests(_SMALL),
        extra=("bare", *_REFERENCES),
        references=(),
    ),
    Scenario(
        "stats",
        "small GET, 32 connections, with every stat and with none",
        Requests(_SMALL),
        pair=("trireme",),
        extra=("no-stats",),
        references=(),
        together=True,
        turns=3,
    ),
    Scenario("small-1", "small keep-alive GET, 1 connection", Requests(_SMALL, 1)),
    Scenario("small-256", "small keep-alive GET, 256 connections", Requests(_SMALL, 256), quick=False),
    Scenario("access-log", "small GET, 32 connections, access log to a file", Requests(_SMALL, listener="log")),
    Scenario(
        "5-filters",
        "small GET, 32 connections, with 5 filters in Python, with 5 that have hooks, and without",
        Requests(_SMALL),
        pair=("trireme",),
        extra=("5-filters", "5-hooks"),
        references=(),
    ),
    Scenario(
        "new-connection",
        "small GET, a new connection for each, 32 at a time",
        Requests(requests.get("small", ("User-Agent: bench", "Accept: */*", "Connection: close"))),
    ),
    Scenario(
        "traced", "small GET, each request with a trace id of its own", Requests(requests.get("small", requests.TRACED))
    ),
    Scenario(
        "headers-10", "GET with the 10 headers of a browser", Requests(requests.get("small", requests.TEN)), quick=False
    ),
    Scenario("headers-40", "GET with 40 headers", Requests(requests.get("small", requests.FORTY))),
    Scenario("get-1k", "response of 1 KB", Requests(requests.get("1k")), quick=False),
    Scenario("get-64k", "response of 64 KiB", Requests(requests.get("64k"))),
    Scenario("get-100m", "response of 100 MB, 1 connection", Downloads(requests.get("100m"))),
    Scenario("post-1m", "POST of 1 MB, 8 connections", Requests(requests.post("upload", 1 << 20), 8)),
    Scenario(
        "chunked",
        "64 KiB chunked in both directions",
        Requests(requests.post_chunked("exchange", 64 << 10)),
        quick=False,
    ),
    Scenario(
        "tcp-100m",
        "100 MB through the TCP proxy, 1 connection",
        Downloads(requests.get("100m"), listener="tcp"),
        references=("haproxy",),
    ),
    Scenario(
        "h2-h1",
        "small GET over HTTP/2, 8 connections with 16 streams, upstream HTTP/1",
        Http2Requests(_SMALL),
        references=(),
    ),
    Scenario(
        "h2-h2",
        "small GET over HTTP/2, 8 connections with 16 streams, upstream HTTP/2",
        Http2Requests(_SMALL, listener="h2"),
        references=(),
    ),
    Scenario("grpc-unary", "unary gRPC calls of 128 bytes, 4 connections with 8 at a time", Calls(), references=()),
    Scenario("grpc-stream", "10,000 messages of 128 bytes each way on one stream of gRPC", Messages(), references=()),
    Scenario(
        "tls-32",
        "small keep-alive GET over TLS, 32 connections",
        Requests(_SMALL, listener="tls", way=Way.TLS),
        references=(),
    ),
    Scenario(
        "tls-100m",
        "response of 100 MB over TLS, 1 connection",
        Downloads(requests.get("100m"), listener="tls", tls=True),
        references=(),
    ),
    Scenario("tls-full", "full TLS handshakes, each a connection", Handshakes(), references=()),
    Scenario("tls-resumed", "resumed TLS handshakes, each a connection", Handshakes(resumed=True), references=()),
    Scenario(
        "neighbour-under-attack",
        "small GETs, 1 connection, while others attack by HTTP/2",
        Neighbour(),
        references=(),
        quick=False,
        fresh=True,
    ),
    Scenario("idle", "memory of idle keep-alive connections", Idle(), fresh=True),
    Scenario(
        "beside-idle",
        "small GET, 32 connections, beside many idle ones",
        BesideIdle(_SMALL),
        references=(),
        quick=False,
    ),
    Scenario(
        "2-workers",
        "small keep-alive GET, 64 connections, 2 workers (threads) beside 1",
        Requests(_SMALL, 64),
        extra=("trireme-2", "envoy-2"),
        references=(),
        quick=False,
    ),
    Scenario("rest", "a proxy with nothing to do", Rest(), quick=False),
    Scenario("start", "start of the whole program", Start(), quick=False, fresh=True),
    Scenario(
        "replace",
        "a worker is killed: when is its socket served again?",
        Replace(),
        pair=("trireme",),
        references=(),
        quick=False,
    ),
    Scenario(
        "clusters-start",
        "start with 1,000 clusters of 100 hosts, from JSON and from YAML, 2 workers",
        Start(),
        pair=_MANY_CLUSTERS,
        extra=("trireme-yaml",),
        references=(),
        quick=False,
        fresh=True,
    ),
    Scenario(
        "clusters-change",
        "the hosts of one of 1,000 clusters change: when do all of 2 workers know?",
        Change(),
        pair=_MANY_CLUSTERS,
        references=(),
        quick=False,
    ),
    Scenario(
        "host-memory",
        "memory of a host, 100,000 of them in 1,000 clusters, 2 workers",
        HostMemory(),
        pair=_MANY_CLUSTERS,
        references=(),
        quick=False,
        fresh=True,
    ),
    Scenario(
        "cluster-memory",
        "memory of a cluster, 1,000 of them with one host, 2 workers",
        ClusterMemory(),
        pair=_MANY_CLUSTERS,
        references=(),
        quick=False,
        fresh=True,
    ),
)
