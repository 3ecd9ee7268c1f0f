"""Each time-out of features §13 rules 28 and 39 to 43, on a clock that jumps."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

import trio

from proxy.upstream.tables import HostColumn
from tests.unit.proxy.rig import GET, compiled, route, serving, virtual_clock
from tests.unit.upstream.rig import OK, answering, origin, read_head, silent


def virtual(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Runs `test` on the virtual clock."""

    @functools.wraps(test)
    def run() -> None:
        trio.run(test, clock=virtual_clock())

    return run


async def stalling(stream: trio.SocketStream) -> None:
    """An origin that begins a response and stops."""
    await read_head(stream)
    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nearly")
    await trio.sleep_forever()


@virtual
async def test_an_idle_connection_is_closed_in_silence() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address, idle_timeout=7.0)) as rig:
        fresh, used = await rig.connect(), await rig.connect()
        await used.send(GET)
        await used.response()
        begun = trio.current_time()
        assert await fresh.rest() == await used.rest() == b""
        assert 7 <= trio.current_time() - begun < 8
        await rig.quiet()
        assert rig.value("downstream_cx_idle_timeout") == rig.value("downstream_cx_destroy_local") == 2
        assert rig.gauges() == {
            "cluster.origin.upstream_cx_active": 1,
            "cluster.origin.upstream_cx_http1_active": 1,
        } or (rig.gauges() == {"cluster.origin.upstream_cx_active": 1})


@virtual
async def test_the_idle_timeout_does_not_run_during_a_request() -> None:
    async def slow(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await trio.sleep(20)
        await stream.send_all(OK)
        await trio.sleep_forever()

    config = {"idle_timeout": 7.0, "routes": [route(timeout=0.0)]}
    async with origin(slow) as upstream, serving(compiled(upstream.address, **config)) as rig:
        client = await rig.connect()
        await client.send(GET)
        assert (await client.response())[1] == b"ok"


@virtual
async def test_route_timeout_before_the_response() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address, routes=[route(timeout=3.0)])) as rig:
        client = await rig.connect()
        await client.send(GET)
        begun = trio.current_time()
        head, body = await client.response()
        assert 3 <= trio.current_time() - begun < 4
        assert head.startswith(b"HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 24\r\ncontent-type: text/plain\r\n")
        assert body == b"upstream request timeout"
        assert b"connection:" not in head
        assert rig.stats.value("cluster.origin.upstream_rq_timeout") == 1
        assert rig.stats.value("cluster.origin.external.upstream_rq_504") == 1
        assert rig.tables.hosts.get(0, HostColumn.RQ_TIMEOUT) == 1
        await client.send(GET)  # the connection lives on
        assert (await client.response())[1] == body


@virtual
async def test_route_timeout_default_is_15_seconds_and_0_is_none() -> None:
    routes = [route("/never", timeout=0.0), route("/")]
    async with origin(silent) as upstream, serving(compiled(upstream.address, routes=routes)) as rig:
        begun = trio.current_time()
        client = await rig.connect()
        await client.send(GET)
        await client.response()
        assert 15 <= trio.current_time() - begun < 16
        await client.send(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n")
        head, _ = await client.response()  # the stream idle timeout is what ends it
        assert head.startswith(b"HTTP/1.1 504")
        assert trio.current_time() - begun >= 315


@virtual
async def test_route_timeout_after_the_response_began_cuts_it() -> None:
    async with origin(stalling) as upstream, serving(compiled(upstream.address, routes=[route(timeout=3.0)])) as rig:
        answer = await rig.ask()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nearly")
        await rig.quiet()
        assert rig.value("downstream_rq_2xx") == rig.value("downstream_rq_tx_reset") == 1
        assert rig.stats.value("cluster.origin.upstream_rq_timeout") == 1


@virtual
async def test_route_timeout_starts_when_the_request_is_complete() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address, routes=[route(timeout=3.0)])) as rig:
        client = await rig.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n1")
        await trio.sleep(10)
        await client.send(b"2")
        complete = trio.current_time()
        head, _ = await client.response()
        assert head.startswith(b"HTTP/1.1 504")
        assert 3 <= trio.current_time() - complete < 4


@virtual
async def test_stream_idle_timeout_is_504_once_the_request_is_complete() -> None:
    async with origin(silent) as upstream:
        config = compiled(upstream.address, stream_idle_timeout=5.0, routes=[route(timeout=0.0)])
        async with serving(config) as rig:
            client = await rig.connect()
            await client.send(GET)
            head, body = await client.response()
            assert head.startswith(b"HTTP/1.1 504")
            assert body == b"stream timeout"
            await client.send(GET)
            assert (await client.response())[1] == body
            assert rig.value("downstream_rq_idle_timeout") == 2


@virtual
async def test_stream_idle_timeout_is_408_before_and_any_byte_restarts_it() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address, stream_idle_timeout=5.0)) as rig:
        client = await rig.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n1")
        for _ in range(4):
            await trio.sleep(4)
            await client.send(b"x")
        last = trio.current_time()
        answer = await client.rest()
        assert trio.current_time() - last >= 5
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.endswith(b"\r\n\r\nstream timeout")


@virtual
async def test_stream_idle_timeout_counts_from_the_first_byte_of_a_head() -> None:
    async with serving(compiled(None, stream_idle_timeout=5.0)) as rig:
        answer = await rig.ask(b"GET / HT")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert answer.endswith(b"stream timeout")
        await rig.quiet()
        assert rig.value("downstream_rq_4xx") == rig.value("downstream_rq_idle_timeout") == 1


@virtual
async def test_a_client_that_stops_reading_does_not_outlive_the_stream_idle_timeout() -> None:
    async def endless(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await stream.send_all(b"10000\r\n" + bytes(65536) + b"\r\n")

    async with origin(endless) as upstream:
        config = compiled(upstream.address, stream_idle_timeout=5.0, routes=[route(timeout=0.0)])
        async with serving(config) as rig:
            client = await rig.connect(receive_buffer=4096)
            await client.send(GET)
            await client.until(b"\r\n\r\n")
            begun = trio.current_time()
            await rig.quiet()
            assert trio.current_time() - begun < 10
            assert rig.value("downstream_rq_idle_timeout") == 1
            assert rig.gauges() == {}


@virtual
async def test_request_headers_timeout() -> None:
    async with serving(compiled(None, request_headers_timeout=2.0)) as rig:
        begun = trio.current_time()
        answer = await rig.ask(b"GET / HTTP/1.1\r\nhost:")
        assert 2 <= trio.current_time() - begun < 4
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.endswith(b"\r\n\r\nrequest header timeout")
        await rig.quiet()
        assert rig.value("downstream_rq_header_timeout") == 1


@virtual
async def test_headers_timeout_covers_a_pipelined_head_that_does_not_end() -> None:
    hcm = {"request_headers_timeout": 2.0}
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address, **hcm)) as rig:
        answer = await rig.ask(GET + b"GET / HT")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"request header timeout")


@virtual
async def test_request_timeout_covers_the_whole_request() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address, request_timeout=4.0)) as rig:
        begun = trio.current_time()
        answer = await rig.ask(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n1")
        assert 4 <= trio.current_time() - begun < 6
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert answer.endswith(b"\r\n\r\nrequest timeout")
        await rig.quiet()
        assert rig.value("downstream_rq_timeout") == 1


@virtual
async def test_request_timeout_ends_with_the_request() -> None:
    config = {"request_timeout": 4.0, "routes": [route(timeout=9.0)]}
    async with origin(silent) as upstream, serving(compiled(upstream.address, **config)) as rig:
        client = await rig.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1")
        head, _ = await client.response()
        assert head.startswith(b"HTTP/1.1 504 ")


@virtual
async def test_a_closing_connection_waits_for_its_client_at_most_the_delayed_close_timeout() -> None:
    async with serving(compiled(None, delayed_close_timeout=3.0)) as rig:
        client = await rig.connect()
        await client.send(b"BAD\r\n\r\n")
        answer = await client.rest()  # our half is closed at once; the client keeps its own open
        begun = trio.current_time()
        assert answer.startswith(b"HTTP/1.1 400 ")
        await rig.quiet()
        assert 2 < trio.current_time() - begun < 4
        assert rig.value("downstream_cx_delayed_close_timeout") == 1
