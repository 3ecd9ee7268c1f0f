"""What the flight recorder holds after each kind of failure: real sockets, virtual time."""

from __future__ import annotations

import functools
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest
import trio

from proxy.config.common import SocketAddress
from proxy.config.identity import Identity, InternalAddresses
from proxy.flight_recorder import Record
from tests.unit.proxy.rig import GET, compiled, route, serving, until, virtual_clock
from tests.unit.upstream.rig import OK, answering, answering_once, origin, read_head, silent

SIZED = b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\n1"


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs `test` on a clock that jumps when nothing happens."""

    @functools.wraps(test)
    def run(*arguments: object, **named: object) -> None:
        trio.run(functools.partial(test, *arguments, **named), clock=virtual_clock())

    return run


@pytest.fixture
def refusing() -> Iterator[SocketAddress]:
    """An address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield SocketAddress(*sock.getsockname())


@virtual
async def test_a_request_that_went_well_is_not_recorded() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(GET)
        await client.response()
        assert rig.records == []


@virtual
async def test_an_upstreams_own_error_is_not_recorded() -> None:
    response = b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"
    async with origin(answering(response)) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(GET)
        assert (await client.response())[0].startswith(b"HTTP/1.1 503")
        assert rig.records == []


@virtual
async def test_a_refused_connection(refusing: SocketAddress) -> None:
    config = compiled(refusing, routes=[route("/a", name="named")])
    async with serving(config) as rig:
        client = await rig.connect()
        await client.send(b"GET /a?b=c HTTP/1.1\r\nhost: test\r\nx-request-id: abc\r\n\r\n")
        await client.response()
        (record,) = rig.records
    assert (record.kind, record.flags, record.status) == ("failed", "UF", 503)
    assert (record.method, record.authority, record.path, record.protocol) == ("GET", "test", "/a?b=c", "HTTP/1.1")
    assert (record.listener, record.virtual_host, record.route) == ("127.0.0.1_0", "v", "named")
    assert (record.cluster, record.upstream, record.request_id) == ("origin", str(refusing), "abc")
    assert record.downstream.startswith("127.0.0.1:")
    (attempt,) = record.attempts
    assert (attempt.host, attempt.phase) == (str(refusing), "connect")
    assert attempt.error == "remote connection failure: delayed connect error: Connection refused"


@virtual
async def test_a_route_timeout_names_its_host_and_its_setting() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address, routes=[route(timeout=3.0)])) as rig:
        await rig.connect()
        client = await rig.connect()
        await client.send(GET)
        await client.response()
        (record,) = rig.records
        assert record.upstream == str(upstream.address)
    assert (record.flags, record.detail, record.limits) == ("UT", "response_timeout", {"RouteAction.timeout": 3.0})
    (attempt,) = record.attempts
    assert (attempt.phase, attempt.error) == ("response", "response_timeout")
    assert attempt.seconds >= 3
    assert record.total_ms >= 3000 > record.request_ms >= 0 > record.response_ms


@virtual
async def test_a_timeout_that_the_request_asked_for() -> None:
    inside = Identity(use_remote_address=True, internal_addresses=InternalAddresses(cidr_ranges=("127.0.0.0/8",)))
    async with origin(silent) as upstream, serving(compiled(upstream.address, identity=inside)) as rig:
        client = await rig.connect()
        await client.send(b"GET / HTTP/1.1\r\nhost: test\r\nx-envoy-upstream-rq-timeout-ms: 2500\r\n\r\n")
        await client.response()
        (record,) = rig.records
    assert (record.flags, record.limits) == ("UT", {"x-envoy-upstream-rq-timeout-ms": 2.5})


@virtual
async def test_a_closed_connection() -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await read_head(stream)

    async with origin(hang_up) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(GET)
        await client.response()
        (record,) = rig.records
    assert record.flags == "UC"
    assert [(attempt.phase, attempt.error) for attempt in record.attempts] == [("response", "connection termination")]


@virtual
async def test_a_broken_response_names_the_rule() -> None:
    broken = answering_once(b"HTTP/1.1 200 OK\nx: y\r\n\r\n")
    async with origin(broken) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(GET)
        await client.response()
        (record,) = rig.records
    assert record.flags == "UPE"
    assert record.attempts[0].error == "protocol error: http1.codec_error"
    assert record.cause == "http1.codec_error"


@virtual
async def test_a_client_that_leaves() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: rig.server.requests_active == 1)
        await client.stream.aclose()
        await until(lambda: bool(rig.records))
        (record,) = rig.records
    assert (record.flags, record.detail) == ("DC", "downstream_remote_disconnect")
    assert record.attempts[0].error == "downstream_remote_disconnect"


@virtual
async def test_a_client_that_we_cut_off() -> None:
    async def begin(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1")
        await trio.sleep_forever()

    async with origin(begin) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: rig.server.requests_active == 1)
        await client.stream.receive_some(1)  # the response has begun
        rig.start_drain()
        await rig.stop()
        (record,) = rig.records
        assert (record.flags, record.detail, record.status) == ("DC", "downstream_local_disconnect", 200)
        assert rig.value("downstream_cx_destroy_local_active_rq") == 1


@virtual
async def test_garbage_is_recorded_without_a_request() -> None:
    async with serving(compiled(None)) as rig:
        await rig.ask(b"GARBAGE\r\n\r\n")
        (record,) = rig.records
    assert (record.flags, record.status, record.method, record.attempts) == ("DPE", 400, "", ())


@virtual
async def test_no_host_is_no_attempt() -> None:
    async with serving(compiled(None)) as rig:
        client = await rig.connect()
        await client.send(GET)
        await client.response()
        (record,) = rig.records
    assert (record.flags, record.attempts, record.upstream) == ("UH", (), "")


@pytest.mark.parametrize(
    ("hcm", "sent", "limits"),
    [
        ({"stream_idle_timeout": 2.0}, SIZED, {"HttpConnectionManager.stream_idle_timeout": 2.0}),
        ({"request_timeout": 2.0}, SIZED, {"HttpConnectionManager.request_timeout": 2.0}),
        ({"request_headers_timeout": 2.0}, b"GET ", {"HttpConnectionManager.request_headers_timeout": 2.0}),
        (
            {"max_request_headers_kb": 1}, GET[:-2] + b"a: " + b"b" * 2000 + b"\r\n\r\n",
            {"HttpConnectionManager.max_request_headers_kb": 1},
        ),
        ({"max_headers_count": 1}, GET[:-2] + b"a: b\r\nc: d\r\n\r\n", {"HttpProtocolOptions.max_headers_count": 1}),
    ],
)  # fmt: skip
@virtual
async def test_the_setting_that_decided_is_recorded(
    hcm: dict[str, float], sent: bytes, limits: dict[str, float]
) -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address, **hcm)) as rig:
        client = await rig.connect()
        await client.send(sent)
        await until(lambda: bool(rig.records))
        assert rig.records[0].limits == limits


@virtual
async def test_a_slow_answer_is_recorded_and_a_long_one_is_not() -> None:
    async def slow(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await trio.sleep(2)
        await stream.send_all(OK)

    async def long(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(OK[:-2])
        await trio.sleep(2)
        await stream.send_all(OK[-2:])

    async def records(serve: Callable[[trio.SocketStream], Awaitable[None]]) -> list[Record]:
        async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
            client = await rig.connect()
            await client.send(GET)
            await client.response()
            return list(rig.records)

    (record,) = await records(slow)
    assert (record.kind, record.status, record.attempts) == ("slow", 200, ())
    assert record.response_ms >= 2000
    assert await records(long) == []
