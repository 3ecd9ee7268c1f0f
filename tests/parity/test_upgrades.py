"""Upgrades, CONNECT and 1xx on Envoy and on ours: what client and upstream saw, the access log, the stats."""

from __future__ import annotations

import contextlib
import copy
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.envoy import Envoy
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.tunnel_origin import TcpEcho, TunnelOrigin
from tests.parity.rules import HCM, of

WEBSOCKET = "connection: upgrade\r\nupgrade: websocket\r\n"
CUSTOM = "connection: upgrade\r\nupgrade: custom\r\n"
LOG = {
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "wire_received": "%UPSTREAM_WIRE_BYTES_RECEIVED%",
    "wire_sent": "%UPSTREAM_WIRE_BYTES_SENT%",
    "upgrade": "%REQ(UPGRADE)%",
}
COUNTED = re.compile(
    r"http\.(main|proxied|idle)\.(downstream_(rq|cx)_|no_route)|cluster\.\w+\.upstream_(rq_|cx_destroy)"
)
NOT_COUNTED = re.compile(r".*(_time|_ms|_bytes_\w+|pending_\w+|completed|delayed_close_timeout|rq_total|http1_total)$")
VOLATILE = re.compile(rb"(?i)(x-request-id|date|x-envoy-upstream-service-time): [^\r]*")


class Seen(NamedTuple):
    """What can be told of one conversation."""

    client: bytes
    end: str
    heads: list[list[bytes]]
    log: list[Fields]
    counted: dict[str, int]


class Side:
    def __init__(self, proxy: Envoy | Proxy, origin: TunnelOrigin) -> None:
        self._proxy = proxy
        self._origin = origin
        self._log = Path(proxy.directory) / "access.log"

    def talk(
        self, listener: str, data: bytes, *, then: bytes = b"", awaited: bytes = b"", hang_up: bool = True
    ) -> Seen:
        """Sends `data`, then `then` after the first answer, reads up to `awaited`; hangs up, or reads to the end."""
        del self._origin.heads[:]
        lines, before = self._lines(), self._counters()
        found, end = b"", "open"
        with socket.create_connection(self._proxy.address(listener), 20) as sock:
            sock.sendall(data)
            with contextlib.suppress(ConnectionError):
                if then:
                    found += sock.recv(65536)
                    sock.sendall(then)
                while not (hang_up and awaited in found and found):
                    piece = sock.recv(65536)
                    if not piece:
                        end = "closed"
                        break
                    found += piece
        wait_for(lambda: len(self._lines()) > len(lines), deadline=20, what="the access log is written")
        settled = self._settled()
        counted = {name: value - before.get(name, 0) for name, value in settled.items() if value != before.get(name, 0)}
        heads = [sorted(VOLATILE.sub(rb"\1: *", head).split(b"\r\n")) for head in self._origin.heads]
        logged = [json.loads(line) for line in self._lines()[len(lines) :]]
        return Seen(VOLATILE.sub(rb"\1: *", found), end, heads, logged, counted)

    def _lines(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def _counters(self) -> dict[str, int]:
        return {
            name: value
            for name, value in self._proxy.stats().items()
            if COUNTED.match(name) and not NOT_COUNTED.match(name)
        }

    def _settled(self) -> dict[str, int]:
        """The stats once the connection has been counted out on both sides."""

        def over() -> dict[str, int] | None:
            counters = self._counters()
            busy = [name for name, value in counters.items() if name.endswith("downstream_cx_active") and value]
            # Read again: Envoy reads one stat after the other, those of the end perhaps before it.
            return None if busy else self._counters()

        deadline = time.monotonic() + 20
        while (found := over()) is None:
            assert time.monotonic() < deadline, "the connection is never counted out"
            time.sleep(0.02)
        return found


class Both(NamedTuple):
    envoy: Side
    ours: Side

    def same(self, listener: str, data: bytes, **more: Any) -> Seen:
        theirs = self.envoy.talk(listener, data, **more)
        ours = self.ours.talk(listener, data, **more)
        assert ours._asdict() == theirs._asdict()
        return ours


def routes() -> list[Fields]:
    off = {"upgrade_type": "websocket", "enabled": False}
    return [
        route("/echo/off", "origin", upgrade_configs=[off]),
        route("/echo/on", "origin", upgrade_configs=[{"upgrade_type": "CUSTOM"}]),
        route("/echo/idle", "origin", idle_timeout="0.4s"),
        route("/echo/timeout", "origin", timeout="0.2s", idle_timeout="0.6s"),
        route("/silent/timeout", "origin", timeout="0.3s"),
        route("/echo/duration", "origin", max_stream_duration={"max_stream_duration": "0.4s"}),
        route("/", "origin"),
    ]


def connect_host(name: str, cluster: str, *upgrades: Fields, **action: Any) -> Fields:
    to = {"match": {"connect_matcher": {}}, "route": {"cluster": cluster, "upgrade_configs": list(upgrades), **action}}
    return virtual_host(name, [f"{name}.example:80"], to)


def hosts() -> list[Fields]:
    terminated = {"upgrade_type": "CONNECT", "connect_config": {}}
    return [
        connect_host("terminated", "echo", terminated),
        connect_host("idle", "echo", terminated, idle_timeout="0.4s"),
        connect_host("dead", "dead", terminated),
        connect_host("forwarded", "origin", {"upgrade_type": "CONNECT"}),
        connect_host("refused", "origin", {"upgrade_type": "CONNECT"}),
        connect_host("unsaid", "origin"),
        connect_host("off", "origin", {"upgrade_type": "CONNECT", "enabled": False}),
        virtual_host("pathless", ["pathless.example:80"], route("/", "origin")),
        virtual_host("all", ["*"], *routes()),
    ]


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    log = {
        "name": "file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "{directory}/access.log",
            "log_format": {"json_format": LOG},
        },
    }
    upgrades = [{"upgrade_type": "WebSocket"}, {"upgrade_type": "custom", "enabled": False}]

    def listener(name: str, **hcm: Any) -> Fields:
        return http_listener(*copy.deepcopy(hosts()), name=name, access_log=[log], upgrade_configs=upgrades, **hcm)

    listeners = [
        listener("main"),
        listener("proxied", proxy_100_continue=True),
        listener("idle", stream_idle_timeout="0.4s"),
    ]
    with TunnelOrigin() as origin, TcpEcho() as echo, socket.create_server(("127.0.0.1", 0)) as unused:
        dead = int(unused.getsockname()[1])
        unused.close()
        clusters = [
            static_cluster("origin", origin.port),
            static_cluster("echo", echo.port),
            static_cluster("dead", dead),
        ]
        text = bootstrap(listeners, clusters)
        with Envoy(text, arguments=("--file-flush-interval-msec", "20")) as envoy, Proxy(text) as ours:
            yield Both(Side(envoy, origin), Side(ours, origin))


def get(path: str, fields: str = WEBSOCKET, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nhost: h\r\n{fields}\r\n".encode()


def connect(host: str, fields: str = "") -> bytes:
    return f"CONNECT {host}.example:80 HTTP/1.1\r\nhost: {host}.example:80\r\n{fields}\r\n".encode()


@pytest.mark.parity("rule 19")
@pytest.mark.parametrize("path", ["/echo", "/greet", "/wrong"])
def test_tunnel(both: Both, path: str) -> None:
    seen = both.same("main", get(path), then=b"ping", awaited=b"ping")
    assert b" 101 " in seen.client
    assert seen.counted["http.main.downstream_cx_upgrades_total"] == 1
    assert seen.log[0]["flags"] == "DC"


@pytest.mark.parity("rule 19")
@pytest.mark.parametrize("data", [get("/echo") + b"early", connect("terminated") + b"early"])
def test_bytes_with_the_head(both: Both, data: bytes) -> None:
    seen = both.same("main", data, then=b"late", awaited=b"late")
    assert seen.client.endswith(b"earlylate")


@pytest.mark.parity(
    "rule 19",
    *of(HCM, "upgrade_configs", "UpgradeConfig.upgrade_type", "UpgradeConfig.enabled"),
    *of("config.route.v3.RouteAction", "upgrade_configs"),
    *of("config.route.v3.RouteAction.UpgradeConfig", "upgrade_type", "enabled"),
)
@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/echo/off", WEBSOCKET, 403),
        ("/echo", CUSTOM, 403),
        ("/echo/on", CUSTOM, 101),
        ("/echo", "connection: upgrade\r\nupgrade: unheard-of\r\n", 403),
        ("/echo", "connection: upgrade\r\nupgrade: foo, websocket\r\n", 403),
        ("/echo", "connection: Upgrade\r\nupgrade: WebSocket\r\n", 101),
    ],
)
def test_enabled(both: Both, path: str, fields: str, status: int) -> None:
    theirs, ours = (side.talk("main", get(path, fields), awaited=b"\r\n\r\n", hang_up=status == 101) for side in both)
    spelled = (
        [[line.lower() for line in head] for head in theirs.heads],
        [[line.lower() for line in head] for head in ours.heads],
    )
    assert spelled[0] == spelled[1]
    assert ours._replace(heads=[]) == theirs._replace(heads=[])
    assert ours.log[0]["status"] == status


@pytest.mark.parity("rule 19")
@pytest.mark.parametrize(("path", "status"), [("/unauthorized", 401), ("/required", 426), ("/gone", 503)])
def test_refused_by_the_upstream(both: Both, path: str, status: int) -> None:
    seen = both.same("main", get(path), hang_up=False)
    assert seen.log[0]["status"] == status


@pytest.mark.parity("rule 19")
def test_handshake_without_success(both: Both) -> None:
    theirs, ours = (side.talk("main", get("/ok"), hang_up=False) for side in both)
    assert ours.log == theirs.log
    assert ours.client == theirs.client
    assert ours.log[0]["details"] == "websocket_handshake_unsuccessful"


@pytest.mark.parity("rule 19", "rule 41", "rule 42")
@pytest.mark.parametrize(
    ("listener", "data", "details"),
    [
        ("main", get("/echo/idle"), "stream_idle_timeout"),
        ("idle", get("/echo"), "stream_idle_timeout"),
        ("idle", get("/silent"), "stream_idle_timeout"),
        ("main", get("/silent/timeout"), "response_timeout"),
        ("main", get("/echo/timeout"), "stream_idle_timeout"),
        ("main", get("/echo/duration"), "max_duration_timeout"),
        ("main", connect("idle"), "stream_idle_timeout"),
    ],
)
def test_times(both: Both, listener: str, data: bytes, details: str) -> None:
    seen = both.same(listener, data, hang_up=False)
    assert seen.log[0]["details"] == details


@pytest.mark.parity("rule 19")
def test_end_by_the_upstream(both: Both) -> None:
    seen = both.same("main", get("/reset"), then=b"x", hang_up=False)
    assert seen.log[0]["flags"] == "UC"


@pytest.mark.parity("rule 18", *of("config.route.v3.RouteAction.UpgradeConfig", "connect_config"))
@pytest.mark.parametrize("host", ["terminated", "forwarded"])
def test_connect(both: Both, host: str) -> None:
    seen = both.same("main", connect(host, "x-a: b\r\n"), then=b"ping", awaited=b"ping")
    assert seen.client.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parity("rule 18")
@pytest.mark.parametrize(
    ("host", "status"), [("refused", 403), ("unsaid", 403), ("off", 403), ("pathless", 404), ("dead", 503)]
)
def test_connect_refused(both: Both, host: str, status: int) -> None:
    seen = both.same("main", connect(host), hang_up=False)
    assert seen.log[0]["status"] == status


@pytest.mark.parity("rule 18")
@pytest.mark.parametrize("fields", ["content-length: 3\r\n", "transfer-encoding: chunked\r\n"])
def test_connect_with_content(both: Both, fields: str) -> None:
    both.same("main", connect("terminated", fields), hang_up=False)


@pytest.mark.parity("rule 20", *of(HCM, "proxy_100_continue"))
@pytest.mark.parametrize("listener", ["main", "proxied"])
@pytest.mark.parametrize(
    ("data", "then", "awaited"),
    [
        (get("/hints", ""), b"", b"ok"),
        (get("/continue", "expect: 100-continue\r\ncontent-length: 5\r\n", "POST"), b"12345", b"12345"),
        (get("/unwilling", "expect: 100-continue\r\ncontent-length: 5\r\n", "POST"), b"", b"417"),
        (get("/early", "content-length: 50\r\n", "POST") + b"abc", b"", b"big"),
    ],
)
def test_informational(both: Both, listener: str, data: bytes, then: bytes, awaited: bytes) -> None:
    ends = awaited in (b"417", b"big")
    both.same(listener, data, then=then, awaited=awaited, hang_up=not ends)
