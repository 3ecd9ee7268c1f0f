"""Tunnels on streams of HTTP/2, to sockets: order, ends, resets, windows, deadlines, and what is left of them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import h2.events
import pytest
import trio

from proxy.config.http2 import Http2Options
from proxy.filters.network.hcm_config import Upgrade
from proxy.http import websocket
from tests.integration.test_fields import virtual
from tests.unit.proxy.filters.network.tcp import reset
from tests.unit.proxy.filters.router import test_tunnels as h1
from tests.unit.proxy.filters.router.test_tunnels import Serve, echo, silent
from tests.unit.proxy.h2_rig import Peer, connect
from tests.unit.proxy.rig import Rig, compiled, serving, until
from tests.unit.upstream.rig import origin, read_head

CONNECT = [(":method", "CONNECT"), (":authority", "far:80")]
BARE = [
    (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "test"), (":path", "/ws"),
]  # fmt: skip
WEBSOCKET = [*BARE, ("sec-websocket-key", "its own")]
OPTIONS = Http2Options(allow_connect=True)
both = pytest.mark.parametrize("ask", [WEBSOCKET, CONNECT], ids=["upgrade", "connect"])


class Tunnel:
    """A client's end. `read_all` and `read` give credit for what they take."""

    def __init__(self, peer: Peer, stream: int) -> None:
        self.peer = peer
        self.stream = stream

    async def send(self, data: bytes, *, end: bool = False) -> None:
        self.peer.h2.send_data(self.stream, data, end_stream=end)
        await self.peer.flush()

    async def end(self) -> None:
        self.peer.h2.end_stream(self.stream)
        await self.peer.flush()

    async def reset(self) -> None:
        self.peer.h2.reset_stream(self.stream, 8)
        await self.peer.flush()

    async def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            event = await self.peer.until(h2.events.DataReceived, self.stream)
            data += event.data
            self.peer.h2.acknowledge_received_data(event.flow_controlled_length, self.stream)
            await self.peer.flush()
        return data

    async def ended(self) -> bool:
        return await self.peer.until(h2.events.StreamEnded, self.stream) is not None

    async def reset_code(self) -> int:
        return int((await self.peer.until(h2.events.StreamReset, self.stream)).error_code)


@asynccontextmanager
async def tunnel(
    ask: list[tuple[str, str]],
    far_end: Serve,
    *,
    window: int | None = None,
    options: Http2Options = OPTIONS,
    early: bytes = b"",
    end: bool = False,
    **hcm: Any,
) -> AsyncIterator[tuple[Rig, Tunnel]]:
    """An open tunnel to `far_end`, which sees the upgrade's head first. Nothing is left of it in the end."""

    async def serve(stream: trio.SocketStream) -> None:
        if ask is not CONNECT:
            await read_head(stream)
            await stream.send_all(h1.SWITCH)
        await far_end(stream)

    compile_for = h1.terminating if ask is CONNECT else h1.upgrading
    async with origin(serve) as upstream, serving(compile_for(upstream.address, http2=options, **hcm)) as rig:
        peer = await connect(rig, window=window)
        stream = await peer.begin(ask, end=end)
        if early:
            peer.h2.send_data(stream, early)
            await peer.flush()
        head = await peer.until(h2.events.ResponseReceived, stream)
        assert dict(head.headers)[":status"] == "200"
        yield rig, Tunnel(peer, stream)
        await trio.aclose_forcefully(peer.client.stream)
        await rig.quiet()
        assert rig.gauges() == {}


async def over(rig: Rig) -> None:
    """Until the tunnel has ended; its connection may go on."""
    await until(lambda: rig.value("downstream_rq_active") == 0)


@both
@virtual
async def test_bytes_both_ways_in_order(ask: list[tuple[str, str]]) -> None:
    async def greeting(stream: trio.SocketStream) -> None:
        await stream.send_all(b"hello ")
        await echo(stream)

    async with tunnel(ask, greeting, early=b"early ") as (rig, client):
        await client.send(b"late")
        assert await client.read(16) == b"hello early late"
        assert rig.value("downstream_cx_upgrades_active") == 1
    record = rig.records[-1]
    assert (record.status, record.protocol) == (200 if ask is CONNECT else 101, "HTTP/2")


@virtual
async def test_early_bytes_wait_for_the_upstreams_consent() -> None:
    seen = []

    async def refusing(stream: trio.SocketStream) -> None:
        seen.append(await read_head(stream))
        with trio.move_on_after(1):
            seen.append(await stream.receive_some())
        await stream.send_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        await silent(stream)

    async with origin(refusing) as upstream, serving(h1.upgrading(upstream.address, http2=OPTIONS)) as rig:
        peer = await connect(rig)
        stream = await peer.begin(WEBSOCKET, end=False)
        peer.h2.send_data(stream, b"GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n")
        await peer.flush()
        head = await peer.until(h2.events.ResponseReceived, stream)
        assert dict(head.headers)[":status"] == "403"
        assert (await peer.until(h2.events.StreamReset, stream)).error_code == 0
    assert [head.split(b"\r\n", 1)[0] for head in seen] == [b"GET /ws HTTP/1.1"]


@both
@pytest.mark.parametrize("at_once", [False, True])
@virtual
async def test_the_clients_end_leaves_the_answer_time(ask: list[tuple[str, str]], at_once: bool) -> None:
    async def answering_late(stream: trio.SocketStream) -> None:
        found = b"".join([data async for data in stream])
        await trio.sleep(0.2)
        await stream.send_all(found[::-1] + b"!")

    async with tunnel(ask, answering_late, end=at_once) as (rig, client):
        if not at_once:
            await client.send(b"abc", end=True)
        assert await client.read(1 if at_once else 4) == (b"!" if at_once else b"cba!")
        assert await client.ended()
        await over(rig)
    assert rig.records == []  # nothing has failed
    assert rig.value("downstream_rq_rx_reset") == 0
    assert rig.value("downstream_rq_tx_reset") == 0


@both
@virtual
async def test_the_upstreams_end_leaves_the_client_its_words(ask: list[tuple[str, str]]) -> None:
    heard: list[bytes] = []

    async def leaving(stream: trio.SocketStream) -> None:
        await stream.send_all(b"bye")
        await stream.send_eof()
        heard.append(b"".join([data async for data in stream]))

    async with tunnel(ask, leaving) as (rig, client):
        assert await client.read(3) == b"bye"
        assert await client.ended()
        await client.send(b"last words", end=True)
        await over(rig)
    assert heard == [b"last words"]
    assert [record.flags for record in rig.records] == ([] if ask is CONNECT else ["UC"])


@both
@pytest.mark.parametrize("ended", [False, True], ids=["open", "ended by the client"])
@virtual
async def test_an_upstream_that_resets(ask: list[tuple[str, str]], ended: bool) -> None:
    """What it still had to say is cut, which must not look like its end."""

    async def resetting(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        reset(stream)

    async with tunnel(ask, resetting) as (rig, client):
        await client.send(b"x", end=ended)
        assert await client.reset_code() == 10  # CONNECT_ERROR
        await over(rig)
        assert not client.peer.closed
    assert rig.records[-1].flags == "UC"
    assert rig.stats.value("cluster.origin.upstream_cx_destroy_remote_with_active_rq") == 1


@both
@pytest.mark.parametrize("blocked", [False, True], ids=["idle", "blocked both ways"])
@virtual
async def test_a_client_that_resets(ask: list[tuple[str, str]], blocked: bool) -> None:
    """Also while nobody takes any bytes, so that nobody looks at the stream."""
    ended = trio.Event()

    async def waiting(stream: trio.SocketStream) -> None:
        try:
            if blocked:
                with contextlib.suppress(trio.BrokenResourceError):
                    while True:
                        await stream.send_all(bytes(1 << 16))
            await silent(stream)
        finally:
            ended.set()

    async with tunnel(ask, waiting, window=1000 if blocked else None) as (rig, client):
        if blocked:
            await trio.sleep(1)
            await client.send(bytes(1000))
        await client.reset()
        await ended.wait()
        await over(rig)
        assert not client.peer.closed
    assert (rig.records[-1].flags, rig.records[-1].detail) == ("DR", "http2.remote_reset")
    assert rig.value("downstream_rq_tx_reset") == 0


@both
@virtual
async def test_a_client_whose_connection_is_gone(ask: list[tuple[str, str]]) -> None:
    async with tunnel(ask, silent) as (rig, client):
        await trio.aclose_forcefully(client.peer.client.stream)
        await over(rig)
    assert (rig.records[-1].flags, rig.records[-1].detail) == ("DC", "downstream_remote_disconnect")


@virtual
async def test_a_stream_that_breaks_the_protocol() -> None:
    """Trailers are no bytes."""
    async with tunnel(WEBSOCKET, silent, options=Http2Options(allow_connect=True, stream_error=True)) as (rig, client):
        client.peer.h2.send_headers(client.stream, [("sum", "1")], end_stream=True)
        await client.peer.flush()
        assert await client.reset_code() == 1
        await over(rig)
    assert rig.records[-1].flags == "DPE"


@virtual
async def test_a_silent_tunnel_ends() -> None:
    async with tunnel(CONNECT, echo, stream_idle_timeout=10.0) as (rig, client):
        begun = trio.current_time()
        for _ in range(2):
            await trio.sleep(8)
            await client.send(b"x")
            await client.read(1)
        assert await client.reset_code() == 2
        assert 26 <= trio.current_time() - begun < 27
    assert rig.records[-1].detail == "stream_idle_timeout"


@virtual
async def test_a_busy_tunnel_ends_when_it_has_lived_long_enough() -> None:
    async def ticking(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"x")
                await trio.sleep(1)

    async with tunnel(WEBSOCKET, ticking, max_stream_duration=5.0) as (rig, client):
        assert await client.reset_code() == 2
        await over(rig)
    assert rig.records[-1].detail == "max_duration_timeout"


@virtual
async def test_the_routes_timeout_is_over_with_the_heads() -> None:
    async with tunnel(WEBSOCKET, echo, stream_idle_timeout=math.inf) as (_, client):
        await trio.sleep(20)  # the route's is 15 s
        await client.send(b"still here")
        assert await client.read(10) == b"still here"


@virtual
async def test_a_client_that_does_not_read_stops_the_upstream_and_no_other_stream() -> None:
    sent = 0

    async def flooding(stream: trio.SocketStream) -> None:
        nonlocal sent
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(bytes(1 << 16))
                sent += 1 << 16

    async with tunnel(WEBSOCKET, flooding, window=1000) as (rig, client):
        stood = -1
        while stood != sent:
            stood = sent
            await trio.sleep(1)
        assert 0 < sent < 1 << 26
        assert rig.stats.value("http2.pending_send_bytes") <= 4096  # what is read ahead for a client without a window
        other = await client.peer.begin([BARE[0], (":protocol", "other"), *BARE[2:]])
        assert dict((await client.peer.until(h2.events.ResponseReceived, other)).headers)[":status"] == "403"
        assert len(await client.read(100_000)) >= 100_000


@virtual
async def test_an_upstream_that_does_not_read_stops_the_client() -> None:
    """What the proxy holds is bounded by the stream's window; the rest is the kernel's."""
    released, received = trio.Event(), 0

    async def slow(stream: trio.SocketStream) -> None:
        nonlocal received
        await released.wait()
        async for data in stream:
            received += len(data)
        await stream.send_all(b"got it")

    options = Http2Options(allow_connect=True, initial_stream_window_size=65535, initial_connection_window_size=1 << 20)
    async with tunnel(CONNECT, slow, options=options) as (_, client):
        sent, h2_ = 0, client.peer.h2

        async def send() -> None:
            nonlocal sent
            while room := min(h2_.local_flow_control_window(client.stream), 16384):
                await client.send(bytes(room))
                sent += room

        async def read() -> None:
            while True:
                await client.peer.read()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            stood = -1
            while stood != sent:
                stood = sent
                await send()
                await trio.sleep(1)
            assert 65535 < sent < 1 << 26
            assert h2_.local_flow_control_window(client.stream) == 0
            released.set()
            await until(lambda: h2_.local_flow_control_window(client.stream) > 0)
            nursery.cancel_scope.cancel()
        await client.end()
        assert await client.read(6) == b"got it"
        assert received == sent


@virtual
async def test_a_drain_waits_for_it_and_the_connection_ends_with_it() -> None:
    async with tunnel(WEBSOCKET, echo, max_connection_duration=5.0, drain_timeout=1.0) as (_, client):
        await trio.sleep(20)
        await client.send(b"still here", end=True)
        assert await client.read(10) == b"still here"
        assert [code for _, code in await client.peer.end()] == [0, 0]


@virtual
async def test_who_cuts_it_off_says_so() -> None:
    async with tunnel(WEBSOCKET, echo) as (rig, client):
        await rig.stop()
        await client.peer.end()
        record = rig.records[-1]
    assert (record.flags, record.detail) == ("DC", "downstream_local_disconnect")
    assert [attempt.error for attempt in record.attempts] == ["downstream_local_disconnect"]


@both
@virtual
async def test_bytes_are_counted_on_both_sides(ask: list[tuple[str, str]]) -> None:
    async with tunnel(ask, echo) as (rig, client):
        names = [f"cluster.origin.upstream_cx_{way}_bytes_total" for way in ("rx", "tx")]
        before = [rig.stats.value(name) for name in names]
        for _ in range(6):
            await client.send(bytes(16_000))
        assert len(await client.read(96_000)) == 96_000
        assert [rig.stats.value(name) - value for name, value in zip(names, before, strict=True)] == [96_000] * 2
        await client.reset()
        await over(rig)
        record = rig.records[-1]
    assert (record.bytes_received, record.bytes_sent) == (96_000, 96_000)


@pytest.mark.parametrize(("accept", "status"), [(None, "502"), (b"wrong", "502"), (websocket.answer_to, "200")])
@virtual
async def test_a_handshake_without_a_key(accept: Any, status: str) -> None:
    """RFC 8441 section 5 has none; a server of HTTP/1.1 must be given one, and has to understand it."""
    keys: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        head = await read_head(stream)
        keys.extend(line[19:] for line in head.split(b"\r\n") if line.startswith(b"sec-websocket-key: "))
        answer = accept(keys[-1]) if callable(accept) else accept
        proof = b"sec-websocket-accept: %b\r\n" % answer if answer else b""
        await stream.send_all(h1.SWITCH[:-2] + proof + b"\r\n")
        await echo(stream)

    async with origin(serve) as upstream, serving(h1.upgrading(upstream.address, http2=OPTIONS)) as rig:
        peer = await connect(rig)
        for _ in range(2):
            head = dict((await peer.until(h2.events.ResponseReceived, await peer.begin(BARE, end=False))).headers)
            assert head[":status"] == status
            assert "sec-websocket-accept" not in head
    assert len(set(keys)) == 2


@pytest.mark.parametrize("protocol", ["websocket", "chat"])
@virtual
async def test_an_upstream_that_stays_in_http(protocol: str) -> None:
    """Its body must not be taken for bytes of a tunnel, which a 2xx means to the client."""

    async def staying(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nno way")

    async with origin(staying) as upstream:
        upgrades = (Upgrade("websocket"), Upgrade("chat"))
        async with serving(compiled(upstream.address, upgrades=upgrades, http2=OPTIONS)) as rig:
            peer = await connect(rig)
            stream = await peer.begin([WEBSOCKET[0], (":protocol", protocol), *WEBSOCKET[2:]], end=False)
            head = dict((await peer.until(h2.events.ResponseReceived, stream)).headers)
            assert (head[":status"], "content-length" in head) == ("200", False)
            await peer.until(h2.events.StreamEnded, stream)
            assert not [event for event in peer.events if isinstance(event, h2.events.DataReceived)]
