"""The router and the connection manager over real sockets: what goes up, what comes down, and what ends it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import pytest
import trio

from proxy.config.common import SocketAddress
from proxy.config.identity import ServerHeader
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import GET, compiled, route, router, serving, until
from tests.unit.upstream.rig import OK, answering, answering_once, origin, read_head, silent

Serve = Callable[[trio.SocketStream], Awaitable[None]]


def recording(heads: list[bytes], response: bytes = OK) -> Serve:
    """An origin that notes every request head (and the body bytes that came with it)."""

    async def serve(stream: trio.SocketStream) -> None:
        while data := await read_head(stream):
            heads.append(data)
            await stream.send_all(response)

    return serve


async def sent_up(request: bytes, **hcm: object) -> bytes:
    """What an origin gets for `request`."""
    heads: list[bytes] = []
    async with origin(recording(heads)) as upstream, serving(compiled(upstream.address, **hcm)) as rig:
        client = await rig.connect()
        await client.send(request)
        await client.response()
    return heads[0]


async def sent_down(response: bytes, request: bytes = GET, **hcm: object) -> bytes:
    """What a client, which asks for a close, gets of an origin's `response`."""
    async with origin(answering(response)) as upstream, serving(compiled(upstream.address, **hcm)) as rig:
        return await rig.ask(request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))


@run_trio
async def test_the_request_head_goes_up_with_what_envoy_adds() -> None:
    head = await sent_up(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nX-A: 1\r\nx-a: 2\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[:6] == [
        b"GET /a?b=c HTTP/1.1",
        b"host: x",
        b"accept: */*",
        b"x-a: 1",
        b"x-a: 2",
        b"x-forwarded-proto: http",
    ]
    uuid = rb"x-request-id: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(uuid, lines[6])
    assert lines[7:] == [b"x-envoy-expected-rq-timeout-ms: 15000", b"", b""]


@run_trio
async def test_the_clients_own_request_id_and_scheme_stay() -> None:
    head = await sent_up(b"GET / HTTP/1.1\r\nhost: x\r\nx-request-id: 7\r\nx-forwarded-proto: https\r\n\r\n")
    assert head.count(b"x-request-id: 7\r\n") == head.count(b"x-request-id") == 1
    assert head.count(b"x-forwarded-proto: https\r\n") == head.count(b"x-forwarded-proto") == 1


@run_trio
async def test_suppress_envoy_headers() -> None:
    heads: list[bytes] = []
    last = router(suppress_envoy_headers=True)
    async with origin(recording(heads)) as upstream, serving(compiled(upstream.address, last=last)) as rig:
        client = await rig.connect()
        await client.send(GET)
        head, _ = await client.response()
    assert b"x-envoy" not in heads[0] + head


@run_trio
async def test_a_route_without_timeout_expects_none() -> None:
    assert b"x-envoy-expected" not in await sent_up(GET, routes=[route(timeout=0.0)])


@run_trio
async def test_the_response_keeps_the_upstreams_date_and_has_server_overwritten_in_place() -> None:
    response = b"HTTP/1.1 200 OK\r\ndate: then\r\nserver: other\r\nx-a: 1\r\ncontent-length: 2\r\n\r\nok"
    head = b"HTTP/1.1 200 OK\r\ndate: then\r\nserver: envoy\r\nx-a: 1\r\ncontent-length: 2\r\n"
    assert (await sent_down(response)).startswith(head + b"x-envoy-upstream-service-time: ")
    assert b"server: mine\r\n" in await sent_down(response, server=ServerHeader("mine"))


@run_trio
async def test_a_chunked_request_and_a_chunked_response_pass_and_trailers_stay_behind() -> None:
    heads: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        data = await read_head(stream)
        while not data.endswith(b"0\r\n\r\n"):
            data += await stream.receive_some()
        heads.append(data)
        await stream.send_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n")

    async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(
            b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\nx-t: 1\r\n\r\n"
        )
        answer = await client.until(b"0\r\n\r\n")
    assert b"\r\n\r\n4\r\nwxyz\r\n0\r\n\r\n" in heads[0]
    assert b"transfer-encoding: chunked\r\n" in answer
    assert answer.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("request_line", "response", "expected"),
    [
        (b"HEAD /", b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", b"content-length: 99\r\n"),
        (b"GET /", b"HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n", b"x-a: 1\r\n"),
        (b"GET /", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n", b"content-length: 10\r\n"),
    ],
)
def test_responses_without_a_body(request_line: bytes, response: bytes, expected: bytes) -> None:
    @run_trio
    async def check() -> None:
        async with origin(answering(response)) as upstream, serving(compiled(upstream.address)) as rig:
            client = await rig.connect()
            for _ in range(2):  # and the connections on both sides live on
                await client.send(request_line + b" HTTP/1.1\r\nhost: a\r\n\r\n")
                head = await client.until(b"\r\n\r\n")
                assert expected in head
                assert b"transfer-encoding" not in head
            assert upstream.accepted == 1

    check()


@run_trio
async def test_expect_100_continue_is_answered_by_us_and_goes_no_further() -> None:
    heads: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        heads.append(await read_head(stream))
        while not heads[0].endswith(b"\r\n\r\nabc"):
            heads[0] += await stream.receive_some()
        await stream.send_all(OK)
        await trio.sleep_forever()

    async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")
        head, _ = await client.response()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection" not in head
        assert b"expect" not in heads[0].replace(b"x-envoy-expected", b"")
        await until(lambda: not rig.server.requests_active)
        assert rig.value("downstream_rq_1xx") == rig.value("downstream_rq_2xx") == 1


@run_trio
async def test_a_refused_expectation_gets_no_100_and_ends_the_connection() -> None:
    async with serving(compiled(None, routes=[route("/only")])) as rig:
        answer = await rig.ask(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nconnection: close\r\n" in answer


@run_trio
async def test_a_response_before_the_end_of_the_request_closes_both_connections() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        answer = await rig.ask(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.endswith(b"\r\n\r\nok")
        assert b"service-time" not in answer
        await rig.quiet()
        assert rig.value("downstream_rq_response_before_rq_complete") == 1
        assert rig.gauges() == {}


@run_trio
async def test_an_upgrade_is_refused_and_connect_has_no_route() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address)) as rig:
        answer = await rig.ask(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert answer.endswith(b"\r\n\r\n")
        assert b"\r\nconnection: close\r\n" in answer
        assert rig.value("downstream_rq_ws_on_non_ws_route") == 1
        answer = await rig.ask(b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
        assert b"\r\nconnection: close\r\n" in answer
        assert upstream.accepted == 0


@pytest.mark.parametrize(
    ("request_bytes", "status", "body"),
    [
        (b"GET / HTTP/1.0\r\nhost: a\r\n\r\n", b"426 Upgrade Required", b"Upgrade Required"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request", b""),
        (b"BAD\r\n\r\n", b"400 Bad Request", b"Bad Request"),
        (
            b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 70000 + b"\r\n\r\n",
            b"431 Request Header Fields Too Large",
            b"Request Header Fields Too Large",
        ),
        (b"GET / HTTP/1.1\r\nhost: a\r\nconnection: x-forwarded-for\r\n\r\n", b"400 Bad Request", b"Bad Request"),
        (
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
            b"400 Bad Request",
            b"Bad Request",
        ),
    ],
)
def test_what_breaks_the_protocol_is_answered_and_the_connection_closed(
    request_bytes: bytes, status: bytes, body: bytes
) -> None:
    @run_trio
    async def check() -> None:
        async with origin(silent) as upstream, serving(compiled(upstream.address)) as rig:
            answer = await rig.ask(request_bytes)
            assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")
            assert b"\r\nconnection: close\r\n" in answer
            assert answer.endswith(b"\r\n\r\n" + body)
            assert answer.count(b"HTTP/1.1") == 1
            await rig.quiet()
            assert rig.value("downstream_rq_http1_total") == rig.value("downstream_rq_4xx") == 1
            assert rig.gauges() == {}

    check()


@run_trio
async def test_the_upstreams_failures_become_local_replies_and_the_client_stays() -> None:
    gone = await unused_port()
    for serve, address, status, body in [
        (answering_once(b""), None, b"503", b"reset reason: connection termination"),
        (answering(b"nonsense\r\n\r\n"), None, b"502", b"reset reason: protocol error"),
        (silent, gone, b"503", b"reset reason: remote connection failure"),
    ]:
        async with origin(serve) as upstream, serving(compiled(address or upstream.address)) as rig:
            client = await rig.connect()
            await client.send(GET)
            head, text = await client.response()
            assert head.startswith(b"HTTP/1.1 " + status)
            assert text == b"upstream connect error or disconnect/reset before headers. " + body
            assert b"connection:" not in head


@run_trio
async def test_head_gets_the_local_replys_length_without_its_body() -> None:
    async with serving(compiled(None)) as rig:
        client = await rig.connect()
        await client.send(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n" + GET)
        head = await client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\ncontent-length: 19\r\n" in head
        assert (await client.response())[1] == b"no healthy upstream"


@run_trio
async def test_an_unknown_cluster_is_503_without_a_body() -> None:
    async with serving(compiled(None, routes=[route(cluster="none")])) as rig:
        client = await rig.connect()
        await client.send(GET)
        head, body = await client.response()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert body == b""
        assert rig.value("no_cluster") == 1


@run_trio
async def test_a_response_that_is_cut_ends_the_connection() -> None:
    serve = answering_once(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nearly")
    async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
        answer = await rig.ask()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nearly")
        await rig.quiet()
        assert rig.value("downstream_rq_tx_reset") == rig.value("downstream_rq_rx_reset") == 1


@run_trio
async def test_a_client_that_leaves_cancels_the_upstream_request() -> None:
    left = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        assert await stream.receive_some() == b""
        left.set()

    async with origin(serve) as upstream, serving(compiled(upstream.address, routes=[route(timeout=0.0)])) as rig:
        client = await rig.connect()
        await client.send(GET + GET)  # the pipelined request does not hide the end
        await until(lambda: rig.server.requests_active == 1)
        await client.stream.send_eof()
        await left.wait()
        await rig.quiet()
        assert rig.gauges() == {}
        assert rig.value("downstream_cx_destroy_remote_active_rq") == rig.value("downstream_rq_rx_reset") == 1
        assert rig.value("downstream_rq_5xx") == 0


@run_trio
async def test_a_client_that_leaves_within_its_request_body() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
        await until(lambda: rig.server.requests_active == 1)
        await client.stream.send_eof()
        assert await client.rest() == b""
        await rig.quiet()
        assert rig.gauges() == {}


async def unused_port() -> SocketAddress:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    host, port = listeners[0].socket.getsockname()
    await listeners[0].aclose()
    return SocketAddress(host, port)
