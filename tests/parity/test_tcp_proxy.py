"""The TCP proxy beside Envoy's: what the client and the origin see of each other's ends, and every counter of it."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.kit.config import findings
from tests.kit.envoy import Envoy, validate
from tests.kit.parity import Pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.parity.rules import of

TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
LINE = (
    "{code: '%RESPONSE_CODE%', flags: '%RESPONSE_FLAGS%', received: '%BYTES_RECEIVED%', sent: '%BYTES_SENT%', "
    "details: '%RESPONSE_CODE_DETAILS%', host: '%UPSTREAM_HOST%', cluster: '%UPSTREAM_CLUSTER%', "
    "failure: '%UPSTREAM_TRANSPORT_FAILURE_REASON%', attempts: '%UPSTREAM_REQUEST_ATTEMPT_COUNT%', "
    "protocol: '%PROTOCOL%', path: '%REQ(:PATH)%', route: '%ROUTE_NAME%'}"
)
PATIENCE = 5.0  # s
RESET = struct.pack("ii", 1, 0)
STATS = re.compile(r"(tcp|cluster)\.")
NOT_COMPARED = re.compile(r"buffered|flow_control|completed|upstream_flush_total")
"""Derived by the reader, and figures of Envoy's buffers, which depend on what one read of a socket brings."""


def listener(name: str, fields: str) -> str:
    return f"""
  - name: {name}
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains: [{{filters: [{{name: t, typed_config: {{
      "@type": type.googleapis.com/{TCP_PROXY}, stat_prefix: {name}, {fields}, access_log: [{{name: f, typed_config: {{
        "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
        path: "{{directory}}/{name}.log", log_format: {{json_format: {LINE}}}}}}}]}}}}]}}]"""


def cluster(name: str, port: int | None) -> str:
    host = f"{{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}"
    endpoints = "" if port is None else f", endpoints: [{{lb_endpoints: [{{endpoint: {host}}}]}}]"
    return f"""
  - name: {name}
    connect_timeout: 0.3s
    load_assignment: {{cluster_name: {name}{endpoints}}}"""


def ended(sock: socket.socket) -> tuple[bytes, str]:
    """What else comes, and how it ends."""
    got = b""
    try:
        while data := sock.recv(65536):
            got += data
    except ConnectionResetError:
        return got, "reset"
    except TimeoutError:
        return got, "open"
    return got, "end"


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


class Origin:
    """Does what the first byte of a connection says; `saw` is how the other end looked, in order."""

    def __init__(self) -> None:
        self.saw: list[tuple[bytes, str]] = []
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._sock.accept()
                sock.settimeout(PATIENCE)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            word = sock.recv(1)
            if word == b"R":  # reset
                reset(sock)
                return
            if word == b"C":  # close
                sock.sendall(b"bye")
                return
            sock.sendall(word)
            if word == b"F":  # finish first
                sock.shutdown(socket.SHUT_WR)
            self.saw.append(ended(sock))
            sock.sendall(b"last words")

    def close(self) -> None:
        self._sock.close()


@dataclass
class Seen:
    client: tuple[bytes, str]
    origin: list[tuple[bytes, str]]
    stats: dict[str, int]
    seconds: float
    log: list[dict[str, Any]]


def client_finishes_first(sock: socket.socket) -> tuple[bytes, str]:
    sock.sendall(b"E")
    assert sock.recv(1) == b"E"
    sock.sendall(b" and more")
    sock.shutdown(socket.SHUT_WR)
    return ended(sock)


def origin_finishes_first(sock: socket.socket) -> tuple[bytes, str]:
    sock.sendall(b"F")
    found = ended(sock)
    sock.sendall(b"still")
    sock.shutdown(socket.SHUT_WR)
    return found


def origin_resets(sock: socket.socket) -> tuple[bytes, str]:
    sock.sendall(b"R")
    return ended(sock)


def origin_closes(sock: socket.socket) -> tuple[bytes, str]:
    sock.sendall(b"C")
    found = ended(sock)
    sock.shutdown(socket.SHUT_WR)
    return found


def client_resets(sock: socket.socket) -> tuple[bytes, str]:
    sock.sendall(b"E")
    assert sock.recv(1) == b"E"
    reset(sock)
    return b"", "reset by ourselves"


def only_waits(sock: socket.socket) -> tuple[bytes, str]:
    return ended(sock)


def speaks_and_waits(sock: socket.socket) -> tuple[bytes, str]:
    sock.sendall(b"E")
    return ended(sock)


CASES: dict[str, tuple[str, Callable[[socket.socket], tuple[bytes, str]]]] = {
    "client-first": ("cluster: origin", client_finishes_first),
    "origin-first": ("cluster: origin", origin_finishes_first),
    "origin-resets": ("cluster: origin", origin_resets),
    "origin-closes": ("cluster: origin", origin_closes),
    "client-resets": ("cluster: origin", client_resets),
    "idle": ("cluster: origin, idle_timeout: 0.4s", speaks_and_waits),
    "idle-before-the-first-byte": ("cluster: origin, idle_timeout: 0.4s", only_waits),
    "duration": ("cluster: origin, max_downstream_connection_duration: 0.4s", speaks_and_waits),
    "refused": ("cluster: refused", only_waits),
    "refused-thrice": ("cluster: refused, max_connect_attempts: 3", only_waits),
    "never-accepted": ("cluster: never, max_connect_attempts: 2", only_waits),
    "no-hosts": ("cluster: empty, max_connect_attempts: 2", only_waits),
    "one-of-one": ("weighted_clusters: {clusters: [{name: origin, weight: 7}]}", client_finishes_first),
}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    found = Origin()
    yield found
    found.close()


@pytest.fixture(scope="module")
def pair(origin: Origin) -> Iterator[Pair]:
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    filling = [socket.socket() for _ in range(3)]
    for sock in filling:
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())
    clusters = {"origin": origin.port, "refused": 1, "never": full.getsockname()[1], "empty": None}
    listeners = "".join(listener(name, fields) for name, (fields, _) in CASES.items())
    text = "".join(cluster(name, port) for name, port in clusters.items())
    bootstrap = f"static_resources:\n  listeners:{listeners}\n  clusters:{text}\n"
    with Envoy(bootstrap, arguments=("--file-flush-interval-msec", "20")) as envoy, Proxy(bootstrap) as ours:
        yield Pair(envoy, ours)
    for sock in (*filling, full):
        sock.close()


def run(proxy: Envoy | Proxy, name: str, origin: Origin) -> Seen:
    """One connection of case `name`; the stats that it changed."""

    def of_tcp() -> dict[str, int]:
        stats = proxy.stats().items()
        return {key: n for key, n in stats if STATS.match(key) and not NOT_COMPARED.search(key)}

    before = of_tcp()
    origin.saw.clear()
    with socket.create_connection(proxy.address(name)) as sock:
        sock.settimeout(PATIENCE)
        started = time.monotonic()
        seen = CASES[name][1](sock)
        seconds = time.monotonic() - started
    gauges = [key for key in before if key.endswith("_active")]
    wait_for(lambda: not any(of_tcp()[key] for key in gauges), deadline=30, what="every connection is closed")
    after = of_tcp()
    changed = {key: n - before.get(key, 0) for key, n in after.items() if n != before.get(key, 0)}
    path = proxy.directory / f"{name}.log"
    wait_for(lambda: path.exists() and path.read_text(), deadline=30, what="the access log is written")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("")
    return Seen(seen, list(origin.saw), changed, seconds, lines)


@pytest.mark.parity(
    "rule 28",
    "rule 62",
    *of(
        "extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "cluster",
        "weighted_clusters",
        "idle_timeout",
        "max_connect_attempts",
        "max_downstream_connection_duration",
        "access_log",
    ),
    *of("config.cluster.v3.Cluster", "connect_timeout"),
)
@pytest.mark.parametrize("name", CASES)
def test_the_same_ends_and_counters(pair: Pair, origin: Origin, name: str) -> None:
    envoy = run(pair.envoy, name, origin)
    ours = run(pair.ours, name, origin)
    assert ours.client == envoy.client
    assert ours.origin == envoy.origin
    assert ours.stats == envoy.stats
    assert ours.log == envoy.log
    assert envoy.stats[f"tcp.{name}.downstream_cx_total"] == 1


@pytest.mark.parity("rule 52", "rule 62")
def test_the_same_names(pair: Pair) -> None:
    ours, envoy = ({key for key in side.stats() if key.startswith("tcp.idle.")} for side in (pair.ours, pair.envoy))
    assert ours == envoy


@pytest.mark.parity(
    "rule 62",
    *of("extensions.filters.network.tcp_proxy.v3.TcpProxy", "idle_timeout", "max_downstream_connection_duration"),
)
@pytest.mark.parametrize("name", ["idle", "duration"])
def test_no_timeout_comes_early(pair: Pair, origin: Origin, name: str) -> None:
    assert min(run(side, name, origin).seconds for side in (pair.ours, pair.envoy)) >= 0.39


VERDICTS = (
    "cluster: c",
    "weighted_clusters: {clusters: [{name: c, weight: 1}, {name: c, weight: 4294967295}]}",
    "weighted_clusters: {clusters: [{name: c, weight: 0}]}",
    "weighted_clusters: {clusters: []}",
    "idle_timeout: 1s",
    "cluster: c, idle_timeout: 0s",
    "cluster: c, max_connect_attempts: 0",
    "cluster: c, max_downstream_connection_duration: 0s",
    "cluster: c, max_downstream_connection_duration: 0.0009s",
)


@pytest.mark.parity("rule 62", "rule 66")
@pytest.mark.parametrize("fields", VERDICTS)
def test_the_same_verdict(fields: str) -> None:
    listeners = listener("l", fields).replace("{directory}", "/tmp")
    text = f"static_resources:\n  listeners:{listeners}\n  clusters:{cluster('c', 1)}\n"
    accepted, said = validate(text)
    assert (findings(text) == []) == accepted, said
