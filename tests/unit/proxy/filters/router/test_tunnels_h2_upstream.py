"""Tunnels to upstreams that speak HTTP/2, of clients of HTTP/1 and HTTP/2: ends, resets, windows, offers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import msgspec
import pytest
import trio

from proxy.config.bootstrap import CompiledConfig
from proxy.config.common import SocketAddress
from proxy.config.http2 import Http2Options
from proxy.filters.network.hcm_config import Upgrade
from proxy.http import websocket
from tests.integration.test_fields import virtual
from tests.unit.proxy.filters.network.test_hcm_upgrades import to_origin
from tests.unit.proxy.filters.router.test_tunnels_h2 import OPTIONS, WEBSOCKET, Tunnel
from tests.unit.proxy.h2_rig import connect
from tests.unit.proxy.rig import Rig, compiled, route, serving, until
from tests.unit.upstream.rig import origin

ASK = (
    b"GET /ws HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: its own\r\n\r\n"
)
both = pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])


class Host:
    """The upstream: takes every tunnel. What it does then is the test's to say."""

    def __init__(self, *, offers: bool = True, window: int = 65535, credits: bool = True) -> None:
        self.heads: list[dict[str, str]] = []
        self.data = b""
        self.ended = False
        self.resets: list[int] = []
        self.connections = 0
        self.last = 0
        self._offers = offers
        self._window = window
        self._credits = credits
        self._sending = trio.Lock()

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        self._stream = stream
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        codes = h2.settings.SettingCodes
        values = {codes.INITIAL_WINDOW_SIZE: self._window, codes.ENABLE_CONNECT_PROTOCOL: int(self._offers)}
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=values)
        self.h2.initiate_connection()
        with contextlib.suppress(trio.ClosedResourceError, trio.BrokenResourceError):
            await self.flush()
            while data := await stream.receive_some(65536):
                for event in self.h2.receive_data(data):
                    self._on(event)
                await self.flush()

    def _on(self, event: Any) -> None:
        match event:
            case h2.events.RequestReceived():
                self.heads.append(dict(event.headers))
                self.last = event.stream_id
                if self.heads[-1][":method"] in ("CONNECT", "POST"):
                    self.h2.send_headers(self.last, [(":status", "200")])
                else:
                    self.h2.send_headers(self.last, [(":status", "204")], end_stream=True)
            case h2.events.DataReceived():
                self.data += event.data
                if self._credits:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.ended = True
            case h2.events.StreamReset():
                self.resets.append(int(event.error_code))

    async def flush(self) -> None:
        async with self._sending:
            await self._stream.send_all(self.h2.data_to_send())

    async def say(self, data: bytes, *, end: bool = False) -> None:
        self.h2.send_data(self.last, data, end_stream=end)
        await self.flush()

    async def reset(self) -> None:
        self.h2.reset_stream(self.last, 2)
        await self.flush()


class Plain:
    """A client of HTTP/1, as `Tunnel` is one of HTTP/2."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def send(self, data: bytes, *, end: bool = False) -> None:
        await self._client.send(data)
        if end:
            await self._client.stream.send_eof()

    async def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += await self._client.stream.receive_some(size - len(data))
        return data

    async def ended(self) -> bool:
        return await self._client.stream.receive_some(1) == b""


def config(address: SocketAddress) -> CompiledConfig:
    made = compiled(address, upgrades=(Upgrade("websocket"), Upgrade("connect")), http2=OPTIONS)
    (cluster,) = made.clusters
    return msgspec.structs.replace(
        made, clusters=(msgspec.structs.replace(cluster, protocol="http2", http2=Http2Options()),)
    )


@asynccontextmanager
async def tunnel(version: str, host: Host, *, window: int | None = None) -> AsyncIterator[tuple[Rig, Any]]:
    """An open tunnel. Nothing is left of it in the end."""
    async with origin(host.serve) as upstream, serving(config(upstream.address)) as rig:
        if version == "HTTP/1.1":
            client = await rig.connect(receive_buffer=4096 if window else 0)
            await client.send(ASK)
            assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            yield rig, Plain(client)
            await trio.aclose_forcefully(client.stream)
        else:
            peer = await connect(rig, window=window)
            stream = await peer.begin(WEBSOCKET, end=False)
            head = await peer.until(h2.events.ResponseReceived, stream)
            assert dict(head.headers)[":status"] == "200"
            yield rig, Tunnel(peer, stream)
            await trio.aclose_forcefully(peer.client.stream)
        await rig.quiet()
        gauges = rig.gauges()
        assert not [name for name in gauges if not name.endswith("upstream_cx_active")]


@both
@virtual
async def test_both_ways_to_the_ends(version: str) -> None:
    host = Host()
    async with tunnel(version, host) as (_, client):
        await client.send(b"ping", end=True)
        await until(lambda: host.ended)
        await host.say(b"pong", end=True)
        assert await client.read(4) == b"pong"
        assert await client.ended()
    head = host.heads[0]
    pseudo = {name: value for name, value in head.items() if name[:1] == ":"}
    assert pseudo == {
        ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":authority": "test", ":path": "/ws",
    }  # fmt: skip
    assert not {"connection", "upgrade", "content-length"} & set(head)
    assert (host.data, host.resets) == (b"ping", [])


@both
@virtual
async def test_the_upstreams_end_leaves_the_client_its_words(version: str) -> None:
    host = Host()
    async with tunnel(version, host) as (rig, client):
        await host.say(b"bye", end=True)
        assert await client.read(3) == b"bye"
        assert await client.ended()
        await client.send(b"last words", end=True)
        await until(lambda: host.ended)
        await until(lambda: rig.value("downstream_rq_active") == 0)
    assert host.data == b"last words"
    assert rig.records == []


@virtual
async def test_an_upstream_that_resets_when_the_client_has_ended() -> None:
    host = Host()
    async with tunnel("HTTP/2", host) as (rig, client):
        await client.send(b"", end=True)
        await until(lambda: host.ended)
        await host.reset()
        assert await client.reset_code() == 2
        await until(lambda: rig.value("downstream_rq_active") == 0)
    assert rig.records[-1].flags == "UR"


@both
@pytest.mark.parametrize("blocked", [False, True], ids=["idle", "blocked"])
@virtual
async def test_an_upstream_that_resets(version: str, blocked: bool) -> None:
    """Also while its bytes wait for a client that does not read, so that nobody looks at the stream."""
    host = Host()
    async with tunnel(version, host, window=1000 if blocked else None) as (rig, client):
        while blocked and host.h2.local_flow_control_window(host.last) >= 16_000:
            await host.say(bytes(16_000))
        await host.reset()
        await until(lambda: rig.value("downstream_rq_active") == 0)
        if version == "HTTP/2":
            assert await client.reset_code() == 2
        elif not blocked:
            assert await client.ended()
    assert (rig.records[-1].flags, rig.records[-1].detail) == (
        "UR", "upstream_reset_after_response_started{remote_reset}",
    )  # fmt: skip


@both
@virtual
async def test_a_client_that_leaves_ends_its_stream_and_no_other(version: str) -> None:
    host = Host()
    async with tunnel(version, host) as (rig, client):
        if version == "HTTP/2":
            await client.reset()
            await until(lambda: host.resets)
            assert host.resets == [8]
        else:
            await client.send(b"", end=True)
            await until(lambda: host.ended)
            await host.say(b"", end=True)
        peer = await connect(rig)
        assert (await peer.get())[":status"] == "204"
        await trio.aclose_forcefully(peer.client.stream)
    assert host.connections == 1


@both
@virtual
async def test_an_upstream_without_a_window_stops_the_client(version: str) -> None:
    host = Host(window=1000, credits=False)
    async with tunnel(version, host) as (rig, client):
        sent = 0
        with trio.move_on_after(5):
            while sent < 1 << 20:
                if version == "HTTP/2" and client.peer.h2.local_flow_control_window(client.stream) < 16_000:
                    await client.peer.read()
                else:
                    await client.send(bytes(16_000))
                    sent += 16_000
        assert len(host.data) == 1000
        tunnelled = host.last
        assert rig.stats.value("cluster.origin.http2.pending_send_bytes") < 100_000
        peer = await connect(rig)
        assert (await peer.get())[":status"] == "204"
        await trio.aclose_forcefully(peer.client.stream)
        host.last = tunnelled
        await host.reset()


@virtual
async def test_a_client_of_http1_sees_that_its_key_was_read() -> None:
    """RFC 8441 has no keys, so the host of HTTP/2 need not answer to one."""
    host = Host()
    async with origin(host.serve) as upstream, serving(config(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(ASK)
        head = await client.until(b"\r\n\r\n")
        assert b"\r\nsec-websocket-accept: %b\r\n" % websocket.answer_to(b"its own") in head
        assert host.heads[0]["sec-websocket-key"] == "its own"


@virtual
async def test_an_upstream_that_does_not_offer_upgrades_is_not_asked() -> None:
    host = Host(offers=False)
    async with origin(host.serve) as upstream, serving(config(upstream.address)) as rig:
        assert (await rig.ask(ASK)).startswith(b"HTTP/1.1 503 ")
        assert rig.records[-1].detail == "upgrade_not_offered_by_upstream"
        assert host.heads == []


@virtual
async def test_a_connect_is_passed_on_whatever_is_offered() -> None:
    host = Host(offers=False)
    async with origin(host.serve) as upstream:
        made = config(upstream.address)
        routes = (to_origin(match="connect"), route("/"))
        with_routes = compiled(upstream.address, routes=routes, upgrades=(Upgrade("connect"),)).listeners
        async with serving(msgspec.structs.replace(made, listeners=with_routes)) as rig:
            client = await rig.connect()
            await client.send(b"CONNECT far:80 HTTP/1.1\r\nhost: far:80\r\n\r\n")
            assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            await host.say(b"hello")
            assert await client.until(b"hello") == b"hello"
            assert {":method": "CONNECT", ":authority": "far:80"}.items() <= host.heads[0].items()
            assert ":path" not in host.heads[0]
