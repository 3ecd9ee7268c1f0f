"""TCP in the bodies of a POST (`use_post`), as the other proxy sees it."""

from __future__ import annotations

import pytest
import trio

from tests.unit.proxy.filters.network.tcp import reset
from tests.unit.proxy.filters.network.test_tcp_proxy import on_virtual_time
from tests.unit.proxy.filters.network.test_tcp_upstream import HTTP2, TUNNELING, agreeing, client
from tests.unit.proxy.filters.router.test_tunnels import silent
from tests.unit.proxy.filters.router.test_tunnels_h2_upstream import Host
from tests.unit.proxy.rig import until

POST = {"use_post": "true", "post_path": "/tunnel?a=b"}
CHUNKED = b"HTTP/1.1 200 Fine\r\ntransfer-encoding: chunked\r\n\r\n"


async def to_end(stream: trio.SocketStream, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end):
        found += await stream.receive_some()
    return found


@on_virtual_time
@pytest.mark.field(f"{TUNNELING}.use_post", f"{TUNNELING}.post_path")
async def test_bytes_both_ways() -> None:
    """The end of each body is a half-close, and the other one goes on."""
    heads: list[bytes] = []
    bodies: list[bytes] = []

    async def answering(stream: trio.SocketStream) -> None:
        await stream.send_all(b"5\r\nhello\r\n")
        bodies.append(await to_end(stream, b"0\r\n\r\n"))
        await stream.send_all(b"4\r\n you\r\n0\r\n\r\n")

    async with client(agreeing(heads, answering, CHUNKED), **POST) as (rig, one):
        await one.until(b"hello")
        await one.send(b"abc")
        await one.stream.send_eof()
        assert await one.rest() == b" you"
    head = b"POST /tunnel?a=b HTTP/1.1\r\nhost: far:443\r\ntransfer-encoding: chunked\r\n\r\n"
    assert heads == [head]
    assert bodies == [b"3\r\nabc\r\n0\r\n\r\n"]
    assert rig.stats.value("tcp.t.downstream_cx_tx_bytes_total") == 9


@on_virtual_time
async def test_a_response_that_ends_first_is_an_end() -> None:
    bodies: list[bytes] = []

    async def ending(stream: trio.SocketStream) -> None:
        bodies.append(await to_end(stream, b"0\r\n\r\n"))

    async with client(agreeing([], ending, b"HTTP/1.1 200 Fine\r\ncontent-length: 2\r\n\r\nok"), **POST) as (_, one):
        assert await one.rest() == b"ok"
        await one.send(b"abc")
        await one.stream.send_eof()
        await until(lambda: bool(bodies))
    assert bodies == [b"3\r\nabc\r\n0\r\n\r\n"]


@on_virtual_time
async def test_a_response_without_a_body() -> None:
    async with client(agreeing([], silent, b"HTTP/1.1 200 Fine\r\ncontent-length: 0\r\n\r\n"), **POST) as (_, one):
        assert await one.rest() == b""
        await one.stream.aclose()


@pytest.mark.parametrize("words", [b"5\r\nhe", b"x\r\n", b""])
def test_a_body_that_breaks_off_is_a_reset(words: bytes) -> None:
    async def breaking(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(words)
        await stream.send_eof()
        if not words:
            reset(stream)

    async def run() -> None:
        async with client(agreeing([], breaking, CHUNKED), **POST) as (rig, one):
            await one.send(b"x")
            with pytest.raises(trio.BrokenResourceError):
                await _to_its_end(one.stream)
            await rig.quiet()
        assert rig.records[-1].flags == "UR"

    on_virtual_time(run)()


async def _to_its_end(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


@on_virtual_time
async def test_much_to_a_proxy_that_reads_late() -> None:
    """A frame that does not go out at once keeps its place."""
    size = 4 << 20
    bodies: list[bytes] = []

    async def late(stream: trio.SocketStream) -> None:
        await trio.sleep(10)
        bodies.append(await to_end(stream, b"\r\n0\r\n\r\n"))
        await stream.send_all(b"0\r\n\r\n")

    async with client(agreeing([], late, CHUNKED), **POST) as (_, one):
        await one.send(bytes(size))
        await one.stream.send_eof()
        assert await one.rest() == b""
    assert bodies[0].count(b"\0") == size


@on_virtual_time
async def test_a_stream_of_http2() -> None:
    host = Host()
    async with client(host.serve, cluster=HTTP2, **POST) as (rig, one):
        await one.send(b"ping")
        await until(lambda: host.data == b"ping")
        assert host.heads[0] == {
            ":method": "POST",
            ":scheme": "http",
            ":authority": "far:443",
            ":path": "/tunnel?a=b",
        }
        await host.say(b"pong", end=True)
        assert await one.rest() == b"pong"
        assert not host.ended
        await one.stream.send_eof()
        await until(lambda: host.ended)
    assert rig.stats.value("cluster.c.upstream_rq_active") == 0
