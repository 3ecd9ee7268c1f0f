"""What the proxy answers itself, to the client and in the access log (features: local replies, rules 28 to 31).

Every case is sent to both proxies before the first test looks, many at a time: most of them wait for a timeout.
"""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import msgspec
import pytest
import trio

from proxy.config.cluster import CircuitBreaker
from proxy.config.common import SocketAddress
from tests.kit.bootstrap import ROUTER, Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Address, Connection
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.parity import PROBE, Answer, exchange, for_client
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.trio import run_trio
from tests.kit.unreachable import Unreachable, envoy_address
from tests.parity.rules import HCM, of
from tests.unit.proxy.rig import compiled, serving
from tests.unit.proxy.rig import route as rig_route

VARIES = re.compile(rb"(?m)^(date: |x-envoy-upstream-service-time: ).*")
PATIENCE = 10.0  # s, for a probe's answer while all cases run at once
EXTENSIONS = "type.googleapis.com/envoy.extensions"
LOG_ENTRY = {
    operator: f"%{operator}%"
    for operator in (
        "RESPONSE_CODE", "RESPONSE_FLAGS", "RESPONSE_CODE_DETAILS", "REQ(:METHOD)", "REQ(:PATH)", "PROTOCOL",
        "UPSTREAM_CLUSTER", "UPSTREAM_HOST", "UPSTREAM_REQUEST_ATTEMPT_COUNT", "UPSTREAM_TRANSPORT_FAILURE_REASON",
        "CONNECTION_TERMINATION_DETAILS", "RESP(CONTENT-TYPE)", "RESP(X-ENVOY-OVERLOADED)",
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    )
}  # fmt: skip


@dataclass
class Case:
    """Bytes for a listener. `leaves`: the client goes away, after the first byte of the response if it `waits`.
    `partial`: how much of the response's body comes is not compared.
    """

    data: bytes
    listener: str = "main"
    responses: int = 1
    then: bytes = b""
    leaves: Literal["", "ends", "resets"] = ""
    waits: bool = False
    partial: bool = False


def head(target: str, *lines: str, method: str = "GET") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", "Host: h", *lines, "")).encode("latin-1")


BAD_RESPONSES = [
    "SSH-2.0-x\r\n",
    "\x00\x00\x00",
    "HTTP/1.1 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nbad name: v\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nno colon\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx: a\x01b\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc",
    "HTTP/1.1 200\r\ncontent-length: 3\r\n\r\nabc",
    "HTTP/1.0 200 OK\r\n\r\nold style",
    "HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcSURPLUS",
    "HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\ncontent-le",
    "HTTP/1.1 2",
    "",
]
CUTS = [
    f"{framing}&{close}&pause=0.01"
    for framing in ("body=1000&chunk=100", "chunked=1000&chunk=100")
    for close in ("close=half", "close=head", "close=half&reset=1")
]
# What the origin does, in the words of tests/kit/origin.py. Each has a cluster of its own: a connection that the origin
# leaves behind is of no concern to another.
SCRIPTS = {
    **{f"bad-{number}": f"raw={quote(raw)}" for number, raw in enumerate(BAD_RESPONSES)},
    **{f"cut-{number}": script for number, script in enumerate(CUTS)},
    "closes": "close=before",
    "resets": "close=before&reset=1",
    "many-headers": "&".join(["header=x:v"] * 110) + "&body=3",
    "long-header": "header=x:" + "v" * 20000 + "&body=3",
}
UNREACHABLE = ("refused", "never-accepted", "no-such-socket", "dead-socket")
DIRECT = {"/teapot": (418, "tea"), "/empty": (503, ""), "/moved": (301, "elsewhere"), "/made": (201, "new")}
OWN = (*(f"/{name}" for name in (*UNREACHABLE, "nobody", "no-cluster", "no-route")), *DIRECT)

CASES: dict[str, Case] = {
    **{f"{method} {target}": Case(head(target, "Content-Length: 0", method=method))
       for target in OWN for method in ("GET", "HEAD", "POST")},
    **{f"{target}, body unfinished": Case(head(target, "Content-Length: 10", method="POST") + b"abc")
       for target in OWN},
    **{f"{target}, chunks unfinished": Case(head(target, "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n")
       for target in OWN},
    **{f"{method} {name}": Case(head(f"/{name}?{script}", method=method), partial=name.startswith("cut"))
       for name, script in SCRIPTS.items() for method in ("GET", *(["HEAD"] if name in ("closes", "resets") else []))},
    "three on one connection": Case(head("/nobody") + head("/refused") + head("/origin?body=3"), responses=3),
    **{f"route timeout, {method}": Case(head("/quick?delay=4&body=3", method=method)) for method in ("GET", "HEAD")},
    "route timeout, POST": Case(head("/quick?delay=4", "Content-Length: 3", method="POST") + b"abc"),
    "route timeout within the response": Case(head("/quick?body=100&chunk=50&pause=4"), partial=True),
    "route timeout within chunks": Case(head("/quick?chunked=100&chunk=50&pause=4"), partial=True),
    "route timeout while connecting": Case(head("/quick-never-accepted")),
    "route timeout of 0": Case(head("/unlimited?delay=0.1")),
    "route timeout starts with the end of the request": Case(
        head("/quick?informational=100&delay=0.1", "Expect: 100-continue", "Content-Length: 3", method="POST"),
        then=b"abc",
    ),
    "stream idle, no response": Case(head("/origin?delay=4"), "stream idle"),
    "stream idle, no response to HEAD": Case(head("/origin?delay=4", method="HEAD"), "stream idle"),
    "stream idle, body unfinished": Case(head("/origin", "Content-Length: 10", method="POST") + b"abc", "stream idle"),
    "stream idle, head unfinished": Case(head("/origin")[:-4], "stream idle"),
    "stream idle, response unfinished": Case(
        head("/origin?body=100&chunk=50&pause=4"), "stream idle", partial=True
    ),
    "stream idle while connecting": Case(head("/never-accepted-longer"), "stream idle"),
    "headers timeout": Case(head("/origin")[:-4], "headers timeout"),
    "headers timeout, one byte": Case(b"G", "headers timeout"),
    "headers timeout, second request": Case(head("/origin?body=3") + b"GET /x", "headers timeout", responses=2),
    "headers timeout is over with them": Case(head("/origin?delay=1.2&body=3"), "headers timeout"),
    "request timeout, head unfinished": Case(head("/origin")[:-4], "request timeout"),
    "request timeout, body unfinished": Case(
        head("/origin", "Content-Length: 10", method="POST") + b"abc", "request timeout"
    ),
    "request timeout is over with the request": Case(head("/origin?delay=1.2&body=3"), "request timeout"),
    "connection idle": Case(b"", "connection idle"),
    "431, one long header": Case(head("/origin", "x: " + "v" * 3000), "small"),
    "431, long path": Case(head("/origin?" + "v" * 3000), "small"),
    "431, many headers": Case(head("/origin", *(["x: v"] * 110))),
    "413, content-length": Case(head("/origin", "Content-Length: 11", method="POST") + b"v" * 11, "buffer"),
    "413, content-length unfinished": Case(head("/origin", "Content-Length: 20", method="POST") + b"v" * 11, "buffer"),
    "413, chunks": Case(
        head("/origin", "Transfer-Encoding: chunked", method="POST") + b"b\r\nvvvvvvvvvvv\r\n0\r\n\r\n", "buffer"
    ),
    "underscore": Case(head("/origin", "x_y: 1"), "underscores"),
    "absolute form": Case(b"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "relative"),
    "no host": Case(b"GET / HTTP/1.1\r\n\r\n"),
    "HTTP/1.0": Case(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n"),
    "upgrade": Case(head("/origin", "Connection: upgrade", "Upgrade: websocket")),
    "CONNECT": Case(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n"),
    "bad path": Case(b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n"),
    "bad header": Case(head("/origin", "no colon")),
    "two lengths": Case(head("/origin", "Content-Length: 1", "Content-Length: 2", method="POST")),
    "length and chunks": Case(head("/origin", "Content-Length: 1", "Transfer-Encoding: chunked", method="POST")),
    "bad chunk": Case(head("/origin", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n"),
    "another coding": Case(head("/origin", "Transfer-Encoding: gzip", method="POST")),
    "client ends, head unfinished": Case(head("/origin")[:-4], leaves="ends"),
    "client ends, body unfinished": Case(head("/origin", "Content-Length: 9", method="POST") + b"abc", leaves="ends"),
    "client ends while waiting": Case(head("/origin?delay=4"), leaves="ends"),
    "client resets within the response": Case(
        head("/origin?body=100&chunk=50&pause=4"), leaves="resets", waits=True
    ),
    "client ends within the response": Case(
        head("/origin?body=100&chunk=50&pause=4"), leaves="ends", waits=True
    ),
}  # fmt: skip
# Clusters whose circuit breakers let nothing pass. Our configuration does not take these yet, but the breakers are
# there: ours are the replies of a server in this process.
BREAKERS = {"overflow-pending": "max_pending_requests", "overflow-requests": "max_requests"}
OVERFLOWS = {
    f"{method} /{name}": Case(head(f"/{name}", method=method)) for name in BREAKERS for method in ("GET", "HEAD")
}

# Rows of docs/parity.md.
LOGGED_OTHERWISE = {
    "underscore": ("REQ(:METHOD)", "REQ(:PATH)"),
    "no host": ("REQ(:METHOD)", "REQ(:PATH)"),
    "bad chunk": (
        "REQ(:METHOD)", "REQ(:PATH)", "UPSTREAM_CLUSTER", "UPSTREAM_HOST", "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    ),
}  # fmt: skip
LISTENERS: dict[str, Fields] = {
    "main": {},
    "stream idle": {"stream_idle_timeout": "1s"},
    "headers timeout": {"request_headers_timeout": "1s"},
    "request timeout": {"request_timeout": "1s"},
    "connection idle": {"common_http_protocol_options": {"idle_timeout": "0.3s"}},
    "small": {"max_request_headers_kb": 2},
    "underscores": {"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}},
    "relative": {"http_protocol_options": {"allow_absolute_url": False}},
    "buffer": {
        "http_filters": [
            {
                "name": "buffer",
                "typed_config": {"@type": f"{EXTENSIONS}.filters.http.buffer.v3.Buffer", "max_request_bytes": 10},
            },
            {"name": "router", "typed_config": {"@type": ROUTER}},
        ]
    },
}


def one_bootstrap(origin: int, unreachable: Unreachable, *, breakers: bool = False) -> str:
    everything = virtual_host(
        "everything",
        ["*"],
        *({"match": {"path": path}, "direct_response": {"status": status, "body": {"inline_string": body}}}
          for path, (status, body) in DIRECT.items()),
        *(route({"path": f"/{name}"}, name) for name in (*SCRIPTS, *UNREACHABLE, "nobody", "no-cluster", "origin")),
        route("/quick-never-accepted", "never-accepted-longer", timeout="1s"),
        route("/never-accepted-longer", "never-accepted-longer"),
        route("/quick", "origin", timeout="1s"),
        route("/unlimited", "origin", timeout="0s"),
    )  # fmt: skip
    log = {
        "name": "log",
        "typed_config": {
            "@type": f"{EXTENSIONS}.access_loggers.file.v3.FileAccessLog",
            "path": "{directory}/log.json",
            "log_format": {"json_format": LOG_ENTRY},
        },
    }
    listeners = [http_listener(everything, name=name, access_log=[log], **more) for name, more in LISTENERS.items()]
    for listener in listeners:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["route_config"]["validate_clusters"] = False
    clusters = [static_cluster(name, origin) for name in (*SCRIPTS, "origin")] + [static_cluster("nobody")]
    for name, limit in BREAKERS.items() if breakers else ():
        everything["routes"].insert(0, route(f"/{name}", name))
        clusters.append(static_cluster(name, origin, circuit_breakers={"thresholds": [{limit: 0}]}))
    for name, timeout in (*((name, "0.3s") for name in UNREACHABLE), ("never-accepted-longer", "9s")):
        cluster = static_cluster(name, 1, connect_timeout=timeout)
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        endpoint["address"] = envoy_address(unreachable.addresses[name.removesuffix("-longer")])
        clusters.append(cluster)
    return bootstrap(listeners, clusters)


def leave(address: Address, case: Case, source: str) -> Answer:
    """Sends the request and goes away."""
    with Connection(address, source=source) as connection:
        connection.send(case.data)
        if case.waits:
            connection.wait_readable()
        if case.leaves == "resets":
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return Answer([], "closed")


class Outcome(NamedTuple):
    """What the client saw, and what the log says of its connection (the probe apart)."""

    answer: Answer
    lines: list[dict[str, Any]]


class Outcomes(NamedTuple):
    envoy: dict[str, Outcome]
    ours: dict[str, Outcome]


def run_cases(side: Envoy | Proxy, cases: dict[str, Case]) -> dict[str, Outcome]:
    """Each case comes from an address of its own, by which its lines in the log are found."""
    sources = {name: f"127.1.0.{number}" for number, name in enumerate(cases, 1)}

    def run(name: str) -> Answer:
        case = cases[name]
        address, source = side.address(case.listener), sources[name]
        if case.leaves:
            return leave(address, case, source)
        return exchange(address, case.data, case.responses, case.then, source=source, patience=PATIENCE)

    log = side.directory / "log.json"
    with ThreadPoolExecutor(40) as pool:
        answers = dict(zip(cases, pool.map(run, cases), strict=True))
    exchange(side.address("main"), PROBE, source="127.2.0.1")
    awaited = {"127.2.0.1", *(sources[name] for name, case in cases.items() if case.leaves)}
    wait_for(lambda: awaited <= {source for source, _ in entries(log)}, deadline=20, what="the log is written")
    lines: dict[str, list[dict[str, Any]]] = {}
    for source, entry in entries(log):
        if entry["REQ(:PATH)"] != "/probe?body=0":
            lines.setdefault(source, []).append(entry)
    return {name: Outcome(answer, lines.get(sources[name], [])) for name, answer in answers.items()}


def entries(log: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(the client's address, the rest) of each whole line."""
    for line in log.read_text().splitlines(keepends=True) if log.exists() else ():
        if line.endswith("\n"):
            entry = json.loads(line)
            yield entry.pop("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT"), entry


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    with Origin() as origin, Unreachable(tmp_path_factory.mktemp("local_replies")) as unreachable:
        text = one_bootstrap(origin.port, unreachable)
        theirs = one_bootstrap(origin.port, unreachable, breakers=True)
        flush = ("--file-flush-interval-msec", "50")
        with Envoy(theirs, arguments=flush) as envoy, Proxy(text) as ours, ThreadPoolExecutor(2) as pool:
            yield Outcomes(*pool.map(run_cases, (envoy, ours), ({**CASES, **OVERFLOWS}, CASES)))


@pytest.mark.parity(
    *("rule 28", "rule 30", "rule 31", "rule 43", "rule 56"),
    *of(HCM, "stream_idle_timeout", "request_timeout", "request_headers_timeout", "common_http_protocol_options"),
    *("config.core.v3.HttpProtocolOptions.idle_timeout", "config.cluster.v3.Cluster.connect_timeout"),
)
@pytest.mark.parametrize("name", CASES)
def test_local_reply(outcomes: Outcomes, name: str) -> None:
    envoy, ours = outcomes.envoy[name], outcomes.ours[name]
    if name in LOGGED_OTHERWISE:
        assert ours.lines != envoy.lines, (
            "Envoy does the same: take the case out of the table, and the row out of the docs"
        )
        for lines in (ours.lines, envoy.lines):
            for line in lines:
                for operator in LOGGED_OTHERWISE[name]:
                    del line[operator]
    assert ours.lines == envoy.lines
    assert seen(ours.answer, CASES[name]) == seen(envoy.answer, CASES[name])


@pytest.mark.parity("rule 28", "rule 38")
@pytest.mark.parametrize("name", OVERFLOWS)
@run_trio
async def test_overflow(outcomes: Outcomes, name: str) -> None:
    envoy, case = outcomes.envoy[name], OVERFLOWS[name]
    target = case.data.split()[1].decode()
    with socket.create_server(("127.0.0.1", 0)) as origin:
        config = compiled(SocketAddress(*origin.getsockname()), routes=[rig_route(target)])
        breaker = CircuitBreaker(**{BREAKERS[target[1:]]: 0})
        clusters = tuple(msgspec.structs.replace(cluster, breaker=breaker) for cluster in config.clusters)
        async with serving(msgspec.structs.replace(config, clusters=clusters)) as rig:
            answer = await trio.to_thread.run_sync(exchange, rig.address, case.data)
            record = rig.records[0]
    assert seen(answer, case) == seen(envoy.answer, case)
    (line,) = envoy.lines
    assert (record.flags, record.detail, record.status) == (
        line["RESPONSE_FLAGS"], line["RESPONSE_CODE_DETAILS"], line["RESPONSE_CODE"],
    )  # fmt: skip


def seen(answer: Answer, case: Case) -> dict[str, Any]:
    """What a client sees; of a response that was cut only the head."""
    found = for_client(answer)
    if case.partial:
        found["rest"] = VARIES.sub(rb"\1*", found["rest"].partition(b"\r\n\r\n")[0])
    return found
