"""TCP through tunnels of another proxy: how it is asked, what it may answer, and what is left of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.kit.config import compiled, findings
from tests.unit.proxy.filters.network.tcp import TCP_PROXY, reset, tcp_bootstrap
from tests.unit.proxy.filters.network.test_tcp_proxy import in_use, on_virtual_time
from tests.unit.proxy.filters.router.test_tunnels import Serve, echo, silent
from tests.unit.proxy.filters.router.test_tunnels_h2_upstream import Host
from tests.unit.proxy.rig import Client, Rig, serving, until
from tests.unit.upstream.rig import origin, read_head

TUNNELING = f"{TCP_PROXY}.TunnelingConfig"
HTTP2 = "http2_protocol_options: {}"


@asynccontextmanager
async def client(
    serve: Serve, fields: str = "", *, cluster: str = "", **more: str
) -> AsyncIterator[tuple[Rig, Client]]:
    """A client of a TCP proxy in front of another proxy. Nothing is left of it in the end but a pooled connection."""
    config = ", ".join(f"{name}: {value}" for name, value in {"hostname": "'far:443'", **more}.items())
    async with origin(serve) as back:
        text = tcp_bootstrap(
            f"stat_prefix: t, cluster: c, tunneling_config: {{{config}}}, {fields}", c=back.address.port
        ).replace("connect_timeout: 0.3s", f"connect_timeout: 0.3s\n    {cluster}")
        async with serving(compiled(text)) as rig:
            yield rig, await rig.connect()
            await rig.quiet()
            if not cluster:
                assert in_use(rig) == {}


def agreeing(heads: list[bytes], then: Serve = echo, answer: bytes = b"HTTP/1.1 200 Fine\r\n\r\n") -> Serve:
    async def serve(stream: trio.SocketStream) -> None:
        heads.append(await read_head(stream))
        await stream.send_all(answer)
        await then(stream)

    return serve


@on_virtual_time
@pytest.mark.field(f"{TCP_PROXY}.tunneling_config", f"{TUNNELING}.hostname", f"{TUNNELING}.headers_to_add")
async def test_a_tunnel_to_its_ends() -> None:
    """What the other proxy says behind its consent comes first; neither side's end cuts the other's words."""
    heads: list[bytes] = []

    async def reversing(stream: trio.SocketStream) -> None:
        found = b"".join([data async for data in stream])
        await stream.send_all(found[::-1])

    serve = agreeing(heads, reversing, b"HTTP/1.1 103 Wait\r\n\r\nHTTP/1.1 200 Fine\r\n\r\nhello ")
    headers = "[{header: {key: x-from, value: 'port %DOWNSTREAM_LOCAL_PORT%'}}]"
    async with client(serve, hostname="'%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%:443'", headers_to_add=headers) as (
        rig,
        one,
    ):
        port = one.stream.socket.getpeername()[1]
        await one.send(b"abc")
        await one.stream.send_eof()
        assert await one.rest() == b"hello cba"
    assert heads == [b"CONNECT 127.0.0.1:443 HTTP/1.1\r\nhost: 127.0.0.1:443\r\nx-from: port %d\r\n\r\n" % port]
    assert rig.stats.value("tcp.t.downstream_cx_rx_bytes_total") == 3
    assert rig.stats.value("tcp.t.downstream_cx_tx_bytes_total") == 9
    assert rig.stats.value("cluster.c.upstream_rq_total") == 1
    assert not [name for name in rig.stats.words if name.startswith("cluster.c.") and name.endswith("upstream_rq_200")]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n", "tunnel_refused_by_upstream"), (b"", "connection_termination")],
)
def test_a_proxy_that_does_not_agree(answer: bytes, failure: str) -> None:
    async def run() -> None:
        heads: list[bytes] = []
        async with client(agreeing(heads, silent if answer else _leaving, answer), "max_connect_attempts: 2") as (
            rig,
            one,
        ):
            assert await one.rest() == b""
            await rig.quiet()
            record = rig.records[-1]
            assert len(heads) == 2
            assert record.flags == "UF,URX"
            assert failure in record.detail
            assert rig.stats.value("cluster.c.upstream_cx_connect_attempts_exceeded") == 1

    on_virtual_time(run)()


async def _leaving(stream: trio.SocketStream) -> None:
    await stream.aclose()


@on_virtual_time
async def test_a_proxy_that_never_answers() -> None:
    async def never(stream: trio.SocketStream) -> None:
        await silent(stream)

    async with client(never, "idle_timeout: 5s") as (rig, one):
        begun = trio.current_time()
        assert await one.rest() == b""
        assert 5 <= trio.current_time() - begun < 6
        await rig.quiet()
    assert rig.records[-1].flags == "UF"
    assert rig.stats.value("tcp.t.idle_timeout") == 1


@on_virtual_time
async def test_a_reset_is_passed_on() -> None:
    async def resetting(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        reset(stream)

    async with client(agreeing([], resetting)) as (rig, one):
        await one.send(b"x")
        with pytest.raises(trio.BrokenResourceError):
            await one.stream.receive_some(1)
        await rig.quiet()
    assert rig.records[-1].flags == "UR"


@on_virtual_time
async def test_a_stream_of_http2() -> None:
    """Another connection of TCP is another stream of the same one."""
    host = Host()
    async with client(host.serve, cluster=HTTP2) as (rig, one):
        await one.send(b"ping")
        await until(lambda: host.data == b"ping")
        assert host.heads[0] == {":method": "CONNECT", ":authority": "far:443"}
        two = await rig.connect()
        await until(lambda: len(host.heads) == 2)
        await host.say(b"pong", end=True)
        assert await two.rest() == b"pong"
        await two.stream.aclose()
        await one.stream.aclose()
        await until(lambda: host.ended)
        host.last = 1
        await host.say(b"", end=True)
        await rig.quiet()
    assert (host.connections, host.resets) == (1, [])
    assert rig.stats.value("cluster.c.upstream_rq_active") == 0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ("hostname: 'far away:443'", "is no target of a CONNECT"),
        ("hostname: '%NOTHING%'", "NOTHING"),
        ("hostname: far, post_path: /a", "a path of no POST"),
        ("hostname: far, use_post: true, post_path: 'http://a'", "is no path"),
        ("hostname: far, propagate_response_headers: true", "propagate_response_headers is not supported"),
        ("hostname: far, headers_to_add: [{header: {key: host, value: a}}]", "host headers may not be modified"),
    ],
)
def test_what_cannot_be(fields: str, text: str) -> None:
    found = findings(tcp_bootstrap(f"stat_prefix: t, cluster: c, tunneling_config: {{{fields}}}", c=1))
    assert text in str(found)
