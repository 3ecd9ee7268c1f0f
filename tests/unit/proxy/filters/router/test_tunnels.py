"""Tunnels on real sockets and a clock that jumps: order, ends, resets, deadlines, and what is left of them."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from proxy.config.bootstrap import CompiledConfig
from proxy.config.common import SocketAddress
from proxy.config.forwarding import Forwarding, RouteUpgrade
from proxy.config.route import ClusterAction, Route, RouteMatch
from proxy.filters.network.hcm_config import Upgrade
from tests.integration.test_fields import virtual
from tests.unit.proxy.filters.network.tcp import reset
from tests.unit.proxy.rig import GET, Client, Rig, compiled, serving
from tests.unit.upstream.rig import origin, read_head

Serve = Callable[[trio.SocketStream], Awaitable[None]]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
ASK = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
CONNECT = b"CONNECT far:80 HTTP/1.1\r\nhost: far:80\r\n\r\n"
HEAD = {ASK: 101, CONNECT: 200}


def upgrading(address: SocketAddress, **hcm: Any) -> CompiledConfig:
    return compiled(address, upgrades=(Upgrade("websocket"),), **hcm)


def terminating(address: SocketAddress, **hcm: Any) -> CompiledConfig:
    forwarding = Forwarding(upgrades=(RouteUpgrade("connect", terminates=True),))
    route = Route(RouteMatch("connect", ""), ClusterAction("origin", forwarding=forwarding))
    return compiled(address, routes=[route], **hcm)


CONFIGS = {ASK: upgrading, CONNECT: terminating}
both = pytest.mark.parametrize("ask", [ASK, CONNECT], ids=["upgrade", "connect"])


@asynccontextmanager
async def tunnel(ask: bytes, far_end: Serve, early: bytes = b"", **hcm: Any) -> AsyncIterator[tuple[Rig, Client]]:
    """An open tunnel to `far_end`, which sees the upgrade's head first. Nothing is left of it in the end."""

    async def serve(stream: trio.SocketStream) -> None:
        if ask is ASK:
            head = await read_head(stream)
            assert head.endswith(b"\r\n\r\n")
            await stream.send_all(SWITCH)
        await far_end(stream)

    async with origin(serve) as upstream, serving(CONFIGS[ask](upstream.address, **hcm)) as rig:
        client = await rig.connect()
        await client.send(ask + early)
        assert int((await client.until(b"\r\n\r\n")).split(b" ", 2)[1]) == HEAD[ask]
        yield rig, client
        await trio.aclose_forcefully(client.stream)
        await rig.quiet()
        assert rig.gauges() == {}


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def silent(stream: trio.SocketStream) -> None:
    """Waits for the other side's end."""
    async for _ in stream:
        pass


@both
@virtual
async def test_what_was_read_with_the_heads_comes_first(ask: bytes) -> None:
    async def greeting(stream: trio.SocketStream) -> None:
        await stream.send_all(b"hello ")
        await echo(stream)

    async with tunnel(ask, greeting, early=b"early ") as (_, client):
        await client.send(b"late")
        assert await client.until(b"late") == b"hello early late"


@virtual
async def test_a_greeting_in_one_packet_with_the_head() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(SWITCH + b"hello")
        await silent(stream)

    async with origin(serve) as upstream, serving(upgrading(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(ASK)
        assert (await client.until(b"hello")).endswith(b"\r\n\r\nhello")


@virtual
async def test_early_bytes_wait_for_the_upstreams_consent() -> None:
    heads = []

    async def refusing(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            heads.append(head)
            await trio.sleep(1)
            await stream.send_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

    async with origin(refusing) as upstream, serving(upgrading(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(ASK + b"GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 403 ")
        assert [head.split(b"\r\n", 1)[0] for head in heads] == [b"GET / HTTP/1.1"]


@both
@virtual
async def test_the_clients_end_leaves_the_answer_time(ask: bytes) -> None:
    async def answering_late(stream: trio.SocketStream) -> None:
        found = b"".join([data async for data in stream])
        await trio.sleep(20)
        await stream.send_all(found[::-1])

    async with tunnel(ask, answering_late) as (_, client):
        await client.send(b"abc")
        await client.stream.send_eof()
        assert await client.rest() == b"cba"


@both
@virtual
async def test_the_upstreams_end_leaves_the_client_its_words(ask: bytes) -> None:
    heard: list[bytes] = []

    async def leaving(stream: trio.SocketStream) -> None:
        await stream.send_all(b"bye")
        await stream.send_eof()
        heard.append(b"".join([data async for data in stream]))

    async with tunnel(ask, leaving) as (rig, client):
        assert await client.rest() == b"bye"
        await client.send(b"last words")
        await client.stream.send_eof()
        await rig.quiet()
    assert heard == [b"last words"]


@both
@virtual
async def test_an_upstream_that_resets(ask: bytes) -> None:
    async def resetting(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        reset(stream)

    async with tunnel(ask, resetting) as (rig, client):
        await client.send(b"x")
        assert await client.rest() == b""
        await rig.quiet()
    assert rig.records[-1].flags == "UC"
    assert rig.stats.value("cluster.origin.upstream_cx_destroy_remote_with_active_rq") == 1


@both
@virtual
async def test_a_client_that_resets(ask: bytes) -> None:
    ended = trio.Event()

    async def waiting(stream: trio.SocketStream) -> None:
        try:
            await silent(stream)
        finally:
            ended.set()

    async with tunnel(ask, waiting) as (rig, client):
        reset(client.stream)
        await ended.wait()
        await rig.quiet()
    assert (rig.records[-1].flags, rig.records[-1].detail) == ("DC", "downstream_remote_disconnect")


@both
@virtual
async def test_a_silent_tunnel_ends(ask: bytes) -> None:
    async with tunnel(ask, echo, stream_idle_timeout=10.0) as (rig, client):
        begun = trio.current_time()
        for _ in range(5):
            await trio.sleep(8)
            await client.send(b"x")
            await client.until(b"x")
        assert await client.rest() == b""
        assert 50 <= trio.current_time() - begun < 51
        await rig.quiet()
    assert rig.records[-1].detail == "stream_idle_timeout"


@both
@virtual
async def test_bytes_of_the_upstream_alone_keep_it_open(ask: bytes) -> None:
    async def ticking(stream: trio.SocketStream) -> None:
        for _ in range(5):
            await trio.sleep(8)
            await stream.send_all(b"x")
        await silent(stream)

    async with tunnel(ask, ticking, stream_idle_timeout=10.0) as (_, client):
        begun = trio.current_time()
        assert await client.rest() == b"xxxxx"
        assert 50 <= trio.current_time() - begun < 51


@both
@virtual
async def test_a_busy_tunnel_ends_when_it_has_lived_long_enough(ask: bytes) -> None:
    async with tunnel(ask, echo, max_stream_duration=5.0) as (rig, client):
        begun = trio.current_time()
        echoed = b"x"
        while echoed:
            await trio.sleep(1)
            await client.send(b"x")
            echoed = await client.stream.receive_some(1)
        assert 5 <= trio.current_time() - begun < 7
        await rig.quiet()
    assert rig.records[-1].detail == "max_duration_timeout"


@both
@virtual
async def test_the_routes_timeout_is_over_with_the_heads(ask: bytes) -> None:
    async with tunnel(ask, echo, stream_idle_timeout=math.inf) as (_, client):
        await trio.sleep(20)  # the route's is 15 s
        await client.send(b"still here")
        assert await client.until(b"here") == b"still here"


@virtual
async def test_the_routes_timeout_counts_until_the_upstream_has_agreed() -> None:
    async def thinking(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await silent(stream)

    async with origin(thinking) as upstream, serving(upgrading(upstream.address)) as rig:
        begun = trio.current_time()
        assert (await rig.ask(ASK)).startswith(b"HTTP/1.1 504 ")
        assert 15 <= trio.current_time() - begun < 16
        assert rig.records[-1].detail == "response_timeout"


@both
@virtual
async def test_a_sink_that_does_not_read_stops_its_source(ask: bytes) -> None:
    sent = 0

    async def flooding(stream: trio.SocketStream) -> None:
        nonlocal sent
        while True:
            await stream.send_all(bytes(1 << 16))
            sent += 1 << 16

    async with tunnel(ask, flooding) as (_, client):
        stood = -1
        while stood != sent:
            stood = sent
            await trio.sleep(1)
        assert 0 < sent < 1 << 26
        assert await client.stream.receive_some(1) == b"\0"


@both
@virtual
async def test_a_drain_waits_for_it(ask: bytes) -> None:
    async with tunnel(ask, echo) as (rig, client):
        rig.start_drain()
        await trio.sleep(20)
        await client.send(b"still here")
        assert await client.until(b"here") == b"still here"


@both
@virtual
async def test_who_cuts_it_off_says_so(ask: bytes) -> None:
    async with tunnel(ask, echo) as (rig, client):
        await rig.stop()
        assert await client.rest() == b""
        record = rig.records[-1]
    assert (record.flags, record.detail, record.status) == ("DC", "downstream_local_disconnect", HEAD[ask])


@both
@virtual
async def test_neither_connection_is_used_again(ask: bytes) -> None:
    async with tunnel(ask, echo) as (rig, client):
        await client.send(GET)
        assert await client.until(b"\r\n\r\n") == GET
        await client.stream.send_eof()
        assert await client.rest() == b""
        await rig.quiet()


@both
@virtual
async def test_bytes_are_counted_on_both_sides(ask: bytes) -> None:
    async with tunnel(ask, echo) as (rig, client):
        before = {name: rig.stats.value(f"cluster.origin.upstream_cx_{name}_bytes_total") for name in ("rx", "tx")}
        await client.send(bytes(100_000))
        received = 0
        while received < 100_000:
            received += len(await client.stream.receive_some(65536))
        for name, value in before.items():
            assert rig.stats.value(f"cluster.origin.upstream_cx_{name}_bytes_total") == value + 100_000
