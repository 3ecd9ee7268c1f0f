"""Fields of a bootstrap as a client and an origin see them: text, compiler, server, real sockets, virtual time."""

from __future__ import annotations

import contextlib
import functools
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import SimpleNamespace

import pytest
import trio

from proxy.config.bootstrap import CompiledConfig
from proxy.config.common import SocketAddress
from tests.kit.config import ROUTE_CONFIG, bootstrap, compiled
from tests.unit.proxy.rig import GET, Client, Rig, serving, virtual_clock
from tests.unit.upstream.rig import OK, Serve, answering, origin, silent

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
OPTIONS = "envoy.config.core.v3.HttpProtocolOptions"
CLUSTER = "envoy.config.cluster.v3.Cluster"
ROUTE = "envoy.config.route.v3"
HALF_A_REQUEST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n1"


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs `test` on a clock that jumps when nothing happens."""

    @functools.wraps(test)
    def run(*arguments: object, **named: object) -> None:
        trio.run(functools.partial(test, *arguments, **named), clock=virtual_clock())

    return run


def cluster(*addresses: SocketAddress, weights: tuple[int, ...] = (1, 1), fields: str = "") -> str:
    """YAML of the cluster `origin`; `fields` are more fields of it."""
    endpoints = ", ".join(
        f"{{endpoint: {{address: {{socket_address: {{address: {address.host}, port_value: {address.port}}}}}}},"
        f"load_balancing_weight: {weight}}}"
        for address, weight in zip(addresses, weights, strict=False)
    )
    load = f"load_assignment: {{cluster_name: origin, endpoints: [{{lb_endpoints: [{endpoints}]}}]}}"
    return f"- {{name: origin, {load}, {fields}}}"


def one_listener(text: str) -> CompiledConfig:
    """Compiled, with the listener's name that the rig expects."""
    return compiled(text.replace("name: main", "name: l"))


@contextlib.asynccontextmanager
async def proxy(
    serve: Serve, *, hcm: str = "", route_config: str = ROUTE_CONFIG, cluster_fields: str = "", listener: str = ""
) -> AsyncIterator[Rig]:
    """A server in front of one scripted origin."""
    async with origin(serve) as upstream:
        text = bootstrap(hcm=hcm, route_config=route_config, clusters=cluster(upstream.address, fields=cluster_fields))
        text = text.replace("- name: main\n", f"- name: main\n    {listener}\n")
        async with serving(one_listener(text)) as rig:
            yield rig


def routed(match: str, action: str = "cluster: origin") -> str:
    route = f"{{match: {{{match}}}, route: {{{action}}}}}"
    return f"{{name: r, virtual_hosts: [{{name: v, domains: ['*'], routes: [{route}]}}]}}"


@virtual
@pytest.mark.field(f"{ROUTE}.RouteAction.timeout")
async def test_route_timeout() -> None:
    async with proxy(silent, route_config=routed('prefix: "/"', "cluster: origin, timeout: 3s")) as rig:
        begun = trio.current_time()
        head, _ = await (await asked(rig)).response()
        assert head.startswith(b"HTTP/1.1 504 ")
        assert 3 <= trio.current_time() - begun < 4


@virtual
@pytest.mark.field(f"{HCM}.stream_idle_timeout")
async def test_stream_idle_timeout() -> None:
    async with proxy(silent, hcm="stream_idle_timeout: 2s") as rig:
        begun = trio.current_time()
        assert (await rig.ask(HALF_A_REQUEST)).endswith(b"stream timeout")
        assert 2 <= trio.current_time() - begun < 4


@virtual
@pytest.mark.field(f"{HCM}.request_timeout")
async def test_request_timeout() -> None:
    async with proxy(silent, hcm="request_timeout: 2s") as rig:
        assert (await rig.ask(HALF_A_REQUEST)).endswith(b"request timeout")


@virtual
@pytest.mark.field(f"{HCM}.request_headers_timeout")
async def test_request_headers_timeout() -> None:
    async with proxy(silent, hcm="request_headers_timeout: 2s") as rig:
        assert (await rig.ask(b"GET / HT")).endswith(b"request header timeout")


@virtual
@pytest.mark.field(f"{HCM}.common_http_protocol_options", f"{OPTIONS}.idle_timeout")
async def test_idle_timeout() -> None:
    async with proxy(silent, hcm="common_http_protocol_options: {idle_timeout: 7s}") as rig:
        begun = trio.current_time()
        with trio.fail_after(20):
            assert await (await rig.connect()).rest() == b""
        assert 7 <= trio.current_time() - begun < 8


@virtual
@pytest.mark.field(f"{HCM}.delayed_close_timeout")
async def test_delayed_close_timeout() -> None:
    async with proxy(silent, hcm="delayed_close_timeout: 30s") as rig:
        client = await rig.connect()
        await client.send(b"BAD\r\n\r\n")
        await client.rest()
        begun = trio.current_time()
        await rig.quiet()
        assert 29 < trio.current_time() - begun < 31


@virtual
@pytest.mark.field(f"{HCM}.max_request_headers_kb")
async def test_max_request_headers_kb() -> None:
    async with proxy(answering(OK), hcm="max_request_headers_kb: 1") as rig:
        head, _ = await (await asked(rig, request(f"x: {'a' * 2000}"))).response()
        assert head.startswith(b"HTTP/1.1 431 ")


@virtual
@pytest.mark.field(f"{OPTIONS}.max_headers_count")
async def test_max_headers_count() -> None:
    async with proxy(answering(OK), hcm="common_http_protocol_options: {max_headers_count: 5}") as rig:
        head, _ = await (await asked(rig, request(*(f"x-{number}: a" for number in range(9))))).response()
        assert head.startswith(b"HTTP/1.1 431 ")


@virtual
@pytest.mark.field(f"{HCM}.server_name")
async def test_server_name() -> None:
    async with proxy(answering(OK), hcm="server_name: me") as rig:
        head, _ = await (await asked(rig)).response()
        assert b"\r\nserver: me\r\n" in head


@virtual
@pytest.mark.field("envoy.extensions.filters.http.router.v3.Router.suppress_envoy_headers")
async def test_suppress_envoy_headers() -> None:
    async with origin(answering(OK)) as upstream:
        text = bootstrap(clusters=cluster(upstream.address))
        text = text.replace("http.router.v3.Router", "http.router.v3.Router, suppress_envoy_headers: true")
        async with serving(one_listener(text)) as rig:
            head, _ = await (await asked(rig)).response()
            assert b"x-envoy-" not in head


@virtual
@pytest.mark.field(f"{HCM}.stat_prefix", f"{CLUSTER}.alt_stat_name", "envoy.config.listener.v3.Listener.stat_prefix")
async def test_names_in_stats() -> None:
    async with proxy(answering(OK), cluster_fields="alt_stat_name: other", listener="stat_prefix: front") as rig:
        await (await asked(rig)).response()
        for name in (
            "http.in.downstream_rq_2xx",
            "cluster.other.external.upstream_rq_200",
            "listener.front.downstream_cx_total",
        ):
            assert rig.stats.value(name) == 1, name


@virtual
@pytest.mark.field(f"{CLUSTER}.per_connection_buffer_limit_bytes")
async def test_a_clusters_buffer_limit() -> None:
    """A chunk that arrives in parts goes on in parts."""
    response = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1000\r\n" + bytes(4096) + b"\r\n0\r\n\r\n"
    async with proxy(answering(response), cluster_fields="per_connection_buffer_limit_bytes: 512") as rig:
        client = await asked(rig)
        await client.until(b"\r\n\r\n")
        answer = await client.until(b"\r\n0\r\n\r\n")
        assert answer.count(bytes(1)) == 4096
        assert answer.count(b"\r\n200\r\n") >= 6


@virtual
@pytest.mark.field("envoy.config.listener.v3.Listener.per_connection_buffer_limit_bytes")
async def test_a_listeners_buffer_limit() -> None:
    seen = bytearray()

    async def reading(stream: trio.SocketStream) -> None:
        while not seen.endswith(b"\r\n0\r\n\r\n"):
            seen.extend(await stream.receive_some())
        await stream.send_all(OK)

    async with proxy(reading, listener="per_connection_buffer_limit_bytes: 512") as rig:
        body = b"1000\r\n" + bytes(4096) + b"\r\n0\r\n\r\n"
        client = await asked(rig, request("transfer-encoding: chunked", line="POST /") + body)
        await client.response()
        assert seen.count(bytes(1)) == 4096
        assert seen.count(b"\r\n200\r\n") >= 6


@virtual
@pytest.mark.field("envoy.config.listener.v3.Listener.drain_type")
async def test_drain_type() -> None:
    async with proxy(answering(OK), listener="drain_type: MODIFY_ONLY") as rig:
        rig.server.fail_health_check(True)
        head, _ = await (await asked(rig)).response()
        assert b"connection: close" not in head


@contextlib.contextmanager
def full() -> Iterator[SocketAddress]:
    """A listening socket whose queue is full: a connection to it is neither made nor refused."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        host, port = listening.getsockname()
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        yield SocketAddress(host, port)


@virtual
@pytest.mark.field(f"{CLUSTER}.connect_timeout")
async def test_connect_timeout() -> None:
    with full() as address:
        text = bootstrap(clusters=cluster(address, fields="connect_timeout: 2s"))
        async with serving(one_listener(text)) as rig:
            begun = trio.current_time()
            head, _ = await (await asked(rig)).response()
            assert head.startswith(b"HTTP/1.1 503 ")
            assert 2 <= trio.current_time() - begun < 3


@virtual
@pytest.mark.field("envoy.config.endpoint.v3.LbEndpoint.load_balancing_weight")
async def test_load_balancing_weight() -> None:
    async with origin(answering(OK)) as light, origin(answering(OK.replace(b"ok", b"OK"))) as heavy:
        text = bootstrap(clusters=cluster(light.address, heavy.address, weights=(1, 3))).replace(
            "name: main", "name: l"
        )
        async with serving(one_listener(text)) as rig:
            client = await rig.connect()
            bodies = []
            for _ in range(8):
                await client.send(GET)
                bodies.append((await client.response())[1])
            assert sorted(bodies) == [b"OK"] * 6 + [b"ok"] * 2


MATCHES = {
    f"{ROUTE}.RouteMatch.path": ("path: /a", "GET /a?q", "GET /ab"),
    f"{ROUTE}.RouteMatch.path_separated_prefix": ("path_separated_prefix: /a", "GET /a/b", "GET /ab"),
    f"{ROUTE}.RouteMatch.safe_regex": ("safe_regex: {regex: '/a[0-9]'}", "GET /a1", "GET /a1x"),
    f"{ROUTE}.RouteMatch.case_sensitive": ("prefix: /A, case_sensitive: false", "GET /aB", "GET /b"),
    f"{ROUTE}.RouteMatch.headers": ("prefix: /, headers: [{name: x, present_match: true}]", "GET / x", "GET /"),
    f"{ROUTE}.RouteMatch.query_parameters": ("prefix: /, query_parameters: [{name: q}]", "GET /?q=1", "GET /?p=1"),
    f"{ROUTE}.RouteMatch.grpc": ("prefix: /, grpc: {}", "GET / content-type:application/grpc", "GET /"),
    f"{ROUTE}.HeaderMatcher.invert_match": (
        "prefix: /, headers: [{name: x, present_match: true, invert_match: true}]",
        "GET /",
        "GET / x",
    ),
    "envoy.type.matcher.v3.StringMatcher.ignore_case": (
        "prefix: /, headers: [{name: x, string_match: {exact: ONE, ignore_case: true}}]",
        "GET / x",
        "GET /",
    ),
    f"{ROUTE}.HeaderMatcher.treat_missing_header_as_empty": (
        "prefix: /, headers: [{name: x, invert_match: true, treat_missing_header_as_empty: true,"
        "string_match: {exact: one}}]",
        "GET /",
        "GET / x",
    ),
}


@pytest.mark.parametrize(
    ("match", "inside", "outside"),
    [pytest.param(*values, id=field, marks=pytest.mark.field(field)) for field, values in MATCHES.items()],
)
@virtual
async def test_matches(match: str, inside: str, outside: str) -> None:
    async with proxy(answering(OK), route_config=routed(match)) as rig:
        client = await rig.connect()
        statuses = []
        for line in (inside, outside):
            method, path, *headers = line.split()
            lines = (header if ":" in header else f"{header}: one" for header in headers)
            await client.send(request(*lines, line=f"{method} {path}"))
            statuses.append((await client.response())[0][:12])
        assert statuses == [b"HTTP/1.1 200", b"HTTP/1.1 404"]


@virtual
async def test_each_request_of_a_connection_is_drawn_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, too: a second draw would favour the route."""
    draws = itertools.cycle([10, 90, 90])
    monkeypatch.setattr("proxy.http.request.random", SimpleNamespace(getrandbits=lambda _: next(draws)))
    half = routed("prefix: /, runtime_fraction: {default_value: {numerator: 50}}")
    async with proxy(answering(OK), route_config=half) as rig:
        client = await rig.connect()
        statuses = []
        for _ in range(6):
            await client.send(request())
            statuses.append((await client.response())[0][9:12])
        assert statuses == [b"200", b"404", b"404"] * 2


def request(*headers: str, line: str = "GET /") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "host: a", *headers, "", ""]).encode()


async def asked(rig: Rig, data: bytes = GET) -> Client:
    """A client that has sent `data`."""
    client = await rig.connect()
    await client.send(data)
    return client
