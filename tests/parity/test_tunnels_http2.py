"""Tunnels of which a side or both speak HTTP/2, in Envoy and in ours: what client and origin saw, the access log, the
stats.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, socket_address, static_cluster, virtual_host
from tests.kit.client import Address
from tests.kit.envoy import Envoy
from tests.kit.h2_client import H2Client, Response
from tests.kit.h2_tunnel_origin import H2TunnelOrigin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.kit.tunnel_origin import TcpEcho, TunnelOrigin
from tests.parity.rules import HCM, of
from tests.parity.test_upgrades import LOG, VOLATILE, connect_host, routes

OPTIONS = "config.core.v3.Http2ProtocolOptions"
COUNTED = re.compile(
    r"http\.main\.downstream_(rq_(rx|tx)_reset|rq_[1-5]xx|rq_ws|cx_upgrades|rq_response)"
    r"|cluster\.\w+\.upstream_(rq_\dxx|rq_tx_reset|cx_destroy)|http2\.(rx_reset|tx_reset)$"
)


class Side(NamedTuple):
    """What was seen of each case."""

    answers: dict[str, list[dict[str, Any]]]
    log: dict[str, list[Fields]]
    heads: dict[str, list[Any]]
    stats: dict[str, int]


def seen(response: Response) -> dict[str, Any]:
    headers = sorted((name, "*" if name in ("date", "x-request-id") else value) for name, value in response.headers)
    return {"headers": headers, "body": response.body, "ended": response.ended, "reset": response.reset}


class Client:
    """A connection of one case, which its requests name."""

    def __init__(self, client: H2Client, case: str) -> None:
        self.h2 = client
        self._case = ("x-case", case)

    def upgrade(
        self, path: str, *fields: tuple[str, str], protocol: str = "websocket", key: bool = True, to: str = "h"
    ) -> int:
        more = (*fields, ("sec-websocket-key", "a2V5")) if key else fields
        pseudo = {"method": "CONNECT", "protocol": protocol, "authority": to}
        return self.h2.begin(path, self._case, *more, end=False, **pseudo)

    def connect(self, host: str) -> int:
        authority = f"{host}.example:80"
        return self.h2.begin(None, self._case, end=False, method="CONNECT", scheme=None, authority=authority)

    def until(self, stream: int, condition: Callable[[Response], bool]) -> Response:
        response = self.h2.responses[stream]
        while not (condition(response) or self.h2.closed):
            self.h2.read()
        return response

    def over(self, *streams: int) -> list[Response]:
        """Read until they are over: ended, and reset too where our side is still open."""
        return [self.until(stream, lambda response: response.reset is not None) for stream in streams]

    def reset(self, stream: int) -> None:
        self.h2.connection.reset_stream(stream, 8)
        self.h2.flush()

    def synchronise(self) -> None:
        """What was sent has been looked at."""
        self.h2.get("/ok")


Case = Callable[[Client], list[Response]]


def exchanging(
    path: str, expected: bytes = b"ping", *, protocol: str = "websocket", early: bytes = b"", to: str = "h"
) -> Case:
    def case(client: Client) -> list[Response]:
        stream = client.upgrade(path, protocol=protocol, to=to)
        if early:
            client.h2.send(stream, early)
        client.until(stream, lambda response: bool(response.headers))
        client.h2.send(stream, b"ping")
        return [client.until(stream, lambda response: response.body.endswith(expected))]

    return case


def refused(path: str, protocol: str = "websocket", to: str = "h") -> Case:
    return lambda client: client.over(client.upgrade(path, protocol=protocol, to=to))


def ending(path: str) -> Case:
    """The client ends its side first, to which an upstream of HTTP/2 has an answer."""

    def case(client: Client) -> list[Response]:
        stream = client.upgrade(path, to="two")
        client.until(stream, lambda response: bool(response.headers))
        client.h2.send(stream, b"ping", end=True)
        return [client.until(stream, lambda response: response.ended)]

    return case


def connecting(host: str, *, end: bool = False) -> Case:
    def case(client: Client) -> list[Response]:
        stream = client.connect(host)
        client.until(stream, lambda response: bool(response.headers))
        client.h2.send(stream, b"ping", end=end)
        return [client.until(stream, lambda response: response.ended if end else response.body == b"ping")]

    return case


def connect_refused(host: str) -> Case:
    return lambda client: client.over(client.connect(host))


def resetting(begin: Callable[[Client], int], *, answered: bool) -> Case:
    def case(client: Client) -> list[Response]:
        stream = begin(client)
        if answered:
            client.until(stream, lambda response: bool(response.headers))
        else:
            client.synchronise()
        client.reset(stream)
        client.synchronise()
        return []

    return case


def broken_off(to: str) -> Case:
    def case(client: Client) -> list[Response]:
        stream = client.upgrade("/reset", to=to)
        client.until(stream, lambda response: bool(response.headers))
        client.h2.send(stream, b"x")
        return client.over(stream)

    return case


def timed(client: Client) -> list[Response]:
    paths = ("/echo/idle", "/silent/timeout", "/echo/duration")
    upgrades = [client.upgrade(path, to=to) for to in ("h", "two") for path in paths]
    return client.over(*upgrades, client.connect("idle"))


def not_advertised(client: Client) -> list[Response]:
    stream = client.upgrade("/echo")
    return [client.until(stream, lambda _: False)]


CASES: dict[str, Case] = {
    "echo": exchanging("/echo"),
    "greeting": exchanging("/greet", b"helloping"),
    "another protocol in the answer": exchanging("/wrong"),
    "early bytes": exchanging("/echo", b"earlyping", early=b"early"),
    "by the route": exchanging("/echo/on", protocol="custom"),
    "another case": exchanging("/echo", protocol="WebSocket"),
    "off": refused("/echo/off"),
    "unknown": refused("/echo", "unheard-of"),
    "401": refused("/unauthorized"),
    "426": refused("/required"),
    "gone": refused("/gone"),
    "reset by the upstream": broken_off("h"),
    "reset": resetting(lambda client: client.upgrade("/echo"), answered=True),
    "reset before the answer": resetting(lambda client: client.upgrade("/silent"), answered=False),
    "terminated": connecting("terminated"),
    "terminated to the end": connecting("terminated", end=True),
    "terminated and reset": resetting(lambda client: client.connect("terminated"), answered=True),
    "forwarded": connecting("forwarded"),
    "forwarded and reset": resetting(lambda client: client.connect("forwarded"), answered=True),
    "refused": connect_refused("refused"),
    "unsaid": connect_refused("unsaid"),
    "disabled": connect_refused("off"),
    "no route": connect_refused("pathless"),
    "dead": connect_refused("dead"),
    "times": timed,
    "to HTTP/2: echo": exchanging("/echo", to="two"),
    "to HTTP/2: greeting": exchanging("/greet", b"helloping", to="two"),
    "to HTTP/2: early bytes": exchanging("/echo", b"earlyping", early=b"early", to="two"),
    "to HTTP/2: the client's end": ending("/digest"),
    "to HTTP/2: 401": refused("/unauthorized", to="two"),
    "to HTTP/2: reset at once": refused("/abort", to="two"),
    "to HTTP/2: reset by the upstream": broken_off("two"),
    "to HTTP/2: reset": resetting(lambda client: client.upgrade("/echo", to="two"), answered=True),
    "to HTTP/2: forwarded": connecting("echo"),
    "to HTTP/2: forwarded to the end": connecting("digest", end=True),
    "to HTTP/2: forwarding refused": connect_refused("unauthorized"),
}


def upgrade(path: str) -> bytes:
    """Without a key, as for that the answers differ."""
    return f"GET {path} HTTP/1.1\r\nhost: two\r\nconnection: upgrade\r\nupgrade: websocket\r\n".encode()


def connect(host: str) -> bytes:
    return f"CONNECT {host}.example:80 HTTP/1.1\r\nhost: {host}.example:80\r\n".encode()


PLAIN: dict[str, tuple[bytes, bytes, bytes]] = {
    "of HTTP/1: echo": (upgrade("/echo"), b"ping", b"ping"),
    "of HTTP/1: greeting": (upgrade("/greet"), b"ping", b"helloping"),
    "of HTTP/1: the upstream's end": (upgrade("/ok"), b"", b""),
    "of HTTP/1: 401": (upgrade("/unauthorized"), b"", b""),
    "of HTTP/1: reset at once": (upgrade("/abort"), b"", b""),
    "of HTTP/1: reset by the upstream": (upgrade("/reset"), b"x", b""),
    "of HTTP/1: timeout": (upgrade("/silent/timeout"), b"", b""),
    "of HTTP/1: forwarded": (connect("echo"), b"ping", b"ping"),
    "of HTTP/1: forwarded and refused": (connect("unauthorized"), b"", b""),
}
"""What clients of HTTP/1 say to upstreams of HTTP/2, what they say once the tunnel is open, and what they wait for: the
end of the connection if it is empty.
"""


def talk(address: Address, case: str) -> bytes:
    """All that the client has read."""
    assert isinstance(address, tuple)
    ask, then, awaited = PLAIN[case]
    found = b""
    with socket.create_connection(address, 20) as sock:
        sock.sendall(ask + f"x-case: {case}\r\n\r\n".encode())
        while b"\r\n\r\n" not in found:
            found += sock.recv(65536)
        sock.sendall(then)
        while not (awaited and found.endswith(awaited)):
            data = sock.recv(65536)
            if not data:
                break
            found += data
    return VOLATILE.sub(rb"\1: *", found)


MORE = {"case": "%REQ(X-CASE)%", "method": "%REQ(:METHOD)%", "upstream": "%UPSTREAM_PROTOCOL%"}
DEVIATIONS: dict[str, Case] = {
    "no key": lambda client: client.over(client.upgrade("/gone", key=False)),
    "a length": lambda client: [client.until(client.upgrade("/gone", ("content-length", "3")), lambda r: r.ended)],
}


TCP: dict[str, tuple[str, Fields]] = {
    "tunneled": ("origin", {"headers_to_add": [{"header": {"key": "x-from", "value": "%DOWNSTREAM_REMOTE_ADDRESS%"}}]}),
    "refused": ("origin", {"hostname": "refused.example:80"}),
    "unreachable": ("dead", {}),
    "formatted": ("origin", {"hostname": "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%:80"}),
    "tunneled to HTTP/2": ("two", {}),
    "refused by HTTP/2": ("two", {"hostname": "unauthorized.example:80"}),
    "reset by HTTP/2": ("two", {"hostname": "abort.example:80"}),
    "posted": ("origin", {"use_post": True, "post_path": "/posted"}),
    "posted and refused": ("origin", {"use_post": True, "post_path": "/unauthorized"}),
    "posted to HTTP/2": ("two", {"use_post": True, "post_path": "/echo?a=b"}),
    "posted to HTTP/2, to no path": ("two", {"use_post": True}),
    "posted to HTTP/2 and refused": ("two", {"use_post": True, "post_path": "/unauthorized"}),
}
"""Listeners of TCP: their cluster, and how they ask it for a tunnel."""


def tcp_listener(name: str) -> Fields:
    cluster, more = TCP[name]
    line = {
        "flags": "%RESPONSE_FLAGS%",
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        "failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "host": "%UPSTREAM_HOST%",
        "cluster": "%UPSTREAM_CLUSTER%",
    }
    config = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp",
        "cluster": cluster,
        "max_connect_attempts": 2,
        "tunneling_config": {"hostname": "echo.example:80", **more},
        "access_log": [file_log("tcp.log", line)],
    }
    chain = {"filters": [{"name": "tcp", "typed_config": config}]}
    return {"name": name, "address": socket_address("127.0.0.1", 0), "filter_chains": [chain]}


def ping(address: Address) -> bytes:
    """What comes back of it; nothing if the connection ends."""
    assert isinstance(address, tuple)
    found = b""
    with socket.create_connection(address, 20) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(b"ping")
        while len(found) < 4 and (data := sock.recv(4)):
            found += data
    return found


def run(proxy: Envoy | Proxy, origin: TunnelOrigin, two: H2TunnelOrigin) -> Side:
    """All cases, each on a connection of its own that the client closes."""
    del origin.heads[:], two.heads[:]
    answers: dict[str, list[dict[str, Any]]] = {}
    stats: dict[str, int] = {}
    streams = 0
    cases = [("main", name, case) for name, case in (CASES | DEVIATIONS).items()]
    for listener, name, case in [*cases, ("unadvertised", "not advertised", not_advertised)]:
        if name in DEVIATIONS and not stats:
            stats = _settled(proxy)
        with H2Client(proxy.address(listener)) as client:
            answers[name] = [seen(response) for response in case(Client(client, name))]
            streams += len(client.responses)
    for name in PLAIN:
        answers[name] = [{"read": talk(proxy.address("main"), name)}]
        streams += 1
    for name in TCP:
        asked = len(origin.heads), len(two.heads)
        before = len(_lines(Path(proxy.directory) / "tcp.log"))
        answers[name] = [{"read": ping(proxy.address(name))}]
        wait_for(
            lambda before=before: len(_lines(Path(proxy.directory) / "tcp.log")) > before, deadline=20, what="its line"
        )
        answers[name] += [{"heads": origin.heads[asked[0] :] + [sorted(head) for head in two.heads[asked[1] :]]}]
        answers[name] += [{"log": _lines(Path(proxy.directory) / "tcp.log")[before:]}]
    heads: dict[str, list[Any]] = {}
    for pairs in two.heads:
        named = sorted((name, "*" if name == "x-request-id" else value) for name, value in pairs)
        heads.setdefault(dict(named).get("x-case", "synchronise"), []).append(named)
    for head in origin.heads:
        lines = sorted(VOLATILE.sub(rb"\1: *", head).split(b"\r\n"))
        heads.setdefault(_case_of(lines), []).append(lines)
    for found in heads.values():
        found.sort(key=repr)  # streams of one connection come in any order
    return Side(answers, _log(Path(proxy.directory) / "access.log", streams), heads, stats)


def _case_of(lines: list[bytes]) -> str:
    named = [line for line in lines if line.startswith(b"x-case: ")]
    return named[0][8:].decode() if named else "synchronise"


def _settled(proxy: Envoy | Proxy) -> dict[str, int]:
    """The stats once all connections have been counted out."""
    wait_for(lambda: not proxy.stats()["http.main.downstream_cx_active"], deadline=20, what="the connections are over")
    return {name: value for name, value in proxy.stats().items() if COUNTED.match(name) and value}


def _lines(path: Path) -> list[Fields]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _log(path: Path, streams: int) -> dict[str, list[Fields]]:
    """The lines of each case, one per stream, in an order of their own: streams of one connection may end in any."""
    wait_for(lambda: len(_lines(path)) >= streams, deadline=20, what="the access log is written")
    found: dict[str, list[Fields]] = {}
    for line in sorted(_lines(path), key=json.dumps):
        found.setdefault(line["case"] or "unnamed", []).append(line)
    return found


def file_log(name: str, line: Fields) -> Fields:
    kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    config = {"@type": kind, "path": "{directory}/" + name, "log_format": {"json_format": line}}
    return {"name": "file", "typed_config": config}


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Side, Side]]:
    log = file_log("access.log", {**LOG, **MORE})
    terminated = {"upgrade_type": "CONNECT", "connect_config": {}}
    hosts = [
        connect_host("terminated", "echo", terminated),
        connect_host("idle", "echo", terminated, idle_timeout="0.4s"),
        connect_host("dead", "dead", terminated),
        connect_host("forwarded", "origin", {"upgrade_type": "CONNECT"}),
        connect_host("refused", "origin", {"upgrade_type": "CONNECT"}),
        connect_host("unsaid", "origin"),
        connect_host("off", "origin", {"upgrade_type": "CONNECT", "enabled": False}),
        *(connect_host(name, "two", {"upgrade_type": "CONNECT"}) for name in ("echo", "digest", "unauthorized")),
        virtual_host("two", ["two"], *to_two()),
        virtual_host("all", ["*"], *routes()),
    ]
    upgrades = [{"upgrade_type": "WebSocket"}, {"upgrade_type": "custom", "enabled": False}]
    more = {"access_log": [log], "upgrade_configs": upgrades}
    listeners = [
        http_listener(*hosts, name="main", http2_protocol_options={"allow_connect": True}, **more),
        http_listener(*hosts, name="unadvertised", **more),
        *(tcp_listener(name) for name in TCP),
    ]
    with (
        TunnelOrigin() as origin,
        H2TunnelOrigin() as two,
        TcpEcho() as echo,
        socket.create_server(("127.0.0.1", 0)) as unused,
    ):
        dead = int(unused.getsockname()[1])
        unused.close()
        ports = {"origin": origin.port, "echo": echo.port, "dead": dead}
        clusters = [static_cluster(name, port) for name, port in ports.items()]
        text = bootstrap(listeners, [*clusters, http2_cluster("two", two.port)])
        with Envoy(text, arguments=("--file-flush-interval-msec", "20")) as envoy, Proxy(text) as ours:
            yield run(envoy, origin, two), run(ours, origin, two)


def to_two() -> list[Fields]:
    """The routes of the other origin."""
    return [{**one, "route": {**one["route"], "cluster": "two"}} for one in routes()]


def http2_cluster(name: str, port: int) -> Fields:
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    options = {"explicit_http_config": {"http2_protocol_options": {"allow_connect": True}}}
    protocol = {kind: {"@type": f"type.googleapis.com/{kind}", **options}}
    return static_cluster(name, port, typed_extension_protocol_options=protocol)


@pytest.mark.parity(
    "rule 18",
    "rule 19",
    *of(OPTIONS, "allow_connect"),
    *of(HCM, "upgrade_configs", "UpgradeConfig.upgrade_type", "UpgradeConfig.enabled"),
    *of("config.route.v3.RouteAction.UpgradeConfig", "upgrade_type", "enabled", "connect_config"),
)
@pytest.mark.parametrize("case", [*CASES, *PLAIN])
def test_the_same(sides: tuple[Side, Side], case: str) -> None:
    theirs, ours = sides
    assert ours.answers[case] == theirs.answers[case]
    assert ours.heads.get(case) == theirs.heads.get(case)
    assert _comparable(ours.log[case]) == _comparable(theirs.log[case])


def _comparable(log: list[Fields]) -> list[Fields]:
    """How few bytes a head takes in HTTP/2 depends on what came before it; and where the client's connection ends, ours
    waits for the upstream's end, too (half-closes are a deviation)."""
    http2 = [line for line in log if line["upstream"] == "HTTP/2"]
    left = [line for line in http2 if line["flags"] == "DC"]
    return [
        line | ({"wire_sent": "*"} if line in http2 else {}) | ({"wire_received": "*"} if line in left else {})
        for line in log
    ]


@pytest.mark.parity("rule 19")
def test_what_is_counted(sides: tuple[Side, Side]) -> None:
    theirs, ours = sides
    assert ours.stats == theirs.stats


TUNNELING = "extensions.filters.network.tcp_proxy.v3.TcpProxy"


@pytest.mark.parity(
    *of(TUNNELING, "tunneling_config", "TunnelingConfig.hostname", "TunnelingConfig.headers_to_add"),
    *of(TUNNELING, "TunnelingConfig.use_post", "TunnelingConfig.post_path", "max_connect_attempts"),
)
@pytest.mark.parametrize("case", TCP)
def test_tcp_in_a_tunnel(sides: tuple[Side, Side], case: str) -> None:
    theirs, ours = (_without_ports(side.answers[case]) for side in sides)
    assert ours == theirs


def _without_ports(answers: list[dict[str, Any]]) -> Any:
    """Those of clients, and of the cluster `dead`."""
    return re.sub(r"127\.0\.0\.1:[0-9]{4,}", "*", repr(answers))


@pytest.mark.parity("rule 19")
def test_a_handshake_without_a_key(sides: tuple[Side, Side]) -> None:
    """RFC 6455 section 4.2.1: a server of HTTP/1.1 refuses it."""
    theirs, ours = ([line[:18] for line in side.heads["no key"][0]] for side in sides)
    assert b"sec-websocket-key:" not in theirs
    assert b"sec-websocket-key:" in ours


@pytest.mark.parity("rule 19")
def test_a_length_of_what_has_none(sides: tuple[Side, Side]) -> None:
    theirs, ours = sides
    assert b"content-length: 3" in theirs.heads["a length"][0]
    assert "a length" not in ours.heads


@pytest.mark.parity("rule 19", *of(OPTIONS, "allow_connect"))
def test_an_upgrade_that_was_not_offered(sides: tuple[Side, Side]) -> None:
    """It ends the connection, of which ours says why (the GOAWAY, which is no deviation of tunnels)."""
    theirs, ours = sides
    assert ours.answers["not advertised"] == theirs.answers["not advertised"]
    details = [[line["details"] for line in side.log["unnamed"] if line["flags"] == "DPE"] for side in sides]
    assert "http2.invalid.header.field" in details[0]
    assert "http2.invalid.header.field" in details[1]
