"""A POST whose body becomes the bytes of a TCP connection (`allow_post`), in Envoy and in ours, over both versions of
HTTP: what the client sees; `run_pair` compares access logs and stats.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Connection
from tests.kit.envoy import Envoy
from tests.kit.h2_client import H2Client, Response
from tests.kit.parity import VOLATILE, Pair, run_pair
from tests.kit.proxy import Proxy
from tests.kit.tcp_actor import TcpActor
from tests.parity.rules import of

CONNECT = "config.route.v3.RouteAction.UpgradeConfig.ConnectConfig"
TIMES = re.compile(rb"(date|x-envoy-upstream-service-time): [^\r]*")
BYTES = re.compile(r"cluster\.(actor|dead)\.upstream_cx_[rt]x_bytes_total")


def to(path: Fields | str, cluster: str, *, allow_post: bool = True, version: str = "", **action: Any) -> Fields:
    config: Fields = {"allow_post": allow_post}
    if version:
        config["proxy_protocol_config"] = {"version": version}
    return route(path, cluster, upgrade_configs=[{"upgrade_type": "CONNECT", "connect_config": config}], **action)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with (
        TcpActor() as actor,
        socket.create_server(("127.0.0.1", 0)) as unused,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        ports = {"actor": actor.port, "dead": unused.getsockname()[1], "silent": silent.getsockname()[1]}
        unused.close()
        routes = [
            to("/dead/again", "dead", retry_policy={"retry_on": "connect-failure", "num_retries": 2}),
            to("/dead", "dead"),
            to("/late", "silent", timeout="0.3s"),
            to("/idle", "silent", idle_timeout="0.3s"),
            to("/none", "none"),
            to("/http", "actor", allow_post=False),
            to("/post", "actor"),
            to("/v1", "actor", version="V1"),
            to("/v2", "actor", version="V2"),
        ]
        clusters = [*(static_cluster(name, port) for name, port in ports.items()), static_cluster("none")]
        hosts = [
            virtual_host(version, [f"{version.lower()}:80"], to({"connect_matcher": {}}, "actor", version=version))
            for version in ("V1", "V2")
        ]
        listener = http_listener(virtual_host("all", ["*"], *routes), *hosts)
        with run_pair(bootstrap([listener], clusters)) as found:
            yield found


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def post(path: str, *lines: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: h", *lines, "", ""]).encode()


def sized(path: str, body: bytes, *lines: str) -> bytes:
    return post(path, f"content-length: {len(body)}", *lines) + body


def chunked(path: str, *pieces: bytes, end: bool = True) -> bytes:
    data = post(path, "transfer-encoding: chunked") + b"".join(map(chunk, pieces))
    return data + b"0\r\n\r\n" if end else data


@pytest.mark.parity(*of(CONNECT, "allow_post"))
@pytest.mark.parametrize(
    ("data", "then"),
    [
        (sized("/post", b"ping"), b""),
        (sized("/post", b""), b""),
        (post("/post"), b""),
        (sized("/post", b"x" * 300_000)[:-299_999], b"x" * 299_999),
        (chunked("/post", b"ping", b"pong"), b""),
        (chunked("/post"), b""),
        (chunked("/post", b"ping", end=False), chunk(b"pong") + b"0\r\n\r\n"),
        (chunked("/post", b"bye", end=False), b""),
        (chunked("/post", b"reset", end=False), b""),
        (sized("/post", b"reset"), b""),
        (sized("/dead", b""), b""),
        (sized("/dead/again", b""), b""),
        (sized("/none", b""), b""),
        (sized("/late", b""), b""),
        (sized("/idle", b""), b""),
        (sized("/http", b"GET"), b""),
        (post("/post", method="PUT"), b""),
    ],
)
def test_over_http1(pair: Pair, data: bytes, then: bytes) -> None:
    answers = pair.send(data, then=then)
    for answer in answers:
        answer.rest = TIMES.sub(rb"\1: *", answer.rest)
    answers.assert_same()


def talk(proxy: Envoy | Proxy, path: str, first: bytes, rest: bytes, *, ends: bool) -> Any:
    """What answers a POST whose head comes with `first`, and is echoed before `rest` is sent."""
    with H2Client(proxy.address("main")) as client:
        stream = client.connection.get_next_available_stream_id()
        client.responses[stream] = response = Response(stream)
        head = [(":method", "POST"), (":scheme", "http"), (":authority", "h"), (":path", path)]
        client.connection.send_headers(stream, head, end_stream=ends and not first)
        if first:
            client.connection.send_data(stream, first, end_stream=ends and not rest)
        client.flush()
        if rest:
            while len(response.body) < len(first):
                client.read()
            client.send(stream, rest, end=ends)
        client.finish(stream)
        headers = sorted((name, "*" if name in VOLATILE else value) for name, value in response.headers)
        return headers, response.body, response.ended or response.reset


@pytest.mark.parity(*of(CONNECT, "allow_post"))
@pytest.mark.parametrize(
    ("path", "first", "rest", "ends"),
    [
        ("/post", b"ping", b"", True),
        ("/post", b"", b"", True),
        ("/post", b"x", b"x" * 300_000, True),
        ("/post", b"bye", b"", False),
        ("/post", b"reset", b"", False),
        ("/post", b"reset", b"", True),
        ("/post", b"ping", b"reset", False),
        ("/dead", b"", b"", True),
        ("/late", b"", b"", True),
        ("/idle", b"", b"", True),
    ],
)
def test_over_http2(pair: Pair, path: str, first: bytes, rest: bytes, ends: bool) -> None:
    theirs, ours = (talk(side, path, first, rest, ends=ends) for side in (pair.envoy, pair.ours))
    assert ours == theirs


@pytest.mark.parity(*of(CONNECT, "allow_post"))
def test_bytes_are_counted(pair: Pair) -> None:
    """So far: no client has left while its host still had something to say."""
    theirs, ours = (
        {name: value for name, value in side.stats().items() if BYTES.match(name)} for side in (pair.envoy, pair.ours)
    )
    assert ours == theirs


def header(proxy: Envoy | Proxy, data: bytes) -> bytes:
    """The PROXY header that the host has echoed, without the ports."""
    with Connection(proxy.address("main")) as client:
        client.send(data)
        ports = client.sock.getsockname()[1], client.sock.getpeername()[1]
        posted = data.startswith(b"POST")
        found = client.receive().body if posted else client.rest().partition(b"\r\n\r\n")[2]
    found = found[: found.index(b"last")]
    for port in ports:
        found = found.replace(b" %d" % port, b" *").replace(port.to_bytes(2, "big"), b"**")
    return found


@pytest.mark.parity(*of(CONNECT, "proxy_protocol_config"), "config.core.v3.ProxyProtocolConfig.version")
@pytest.mark.parametrize(
    "data",
    [
        sized("/v1", b"last"),
        sized("/v2", b"last"),
        b"CONNECT v1:80 HTTP/1.1\r\nhost: v1:80\r\n\r\nlast",
        b"CONNECT v2:80 HTTP/1.1\r\nhost: v2:80\r\n\r\nlast",
    ],
    ids=["POST, V1", "POST, V2", "CONNECT, V1", "CONNECT, V2"],
)
def test_proxy_header(pair: Pair, data: bytes) -> None:
    theirs, ours = header(pair.envoy, data), header(pair.ours, data)
    assert ours == theirs
    assert b"*" in ours
