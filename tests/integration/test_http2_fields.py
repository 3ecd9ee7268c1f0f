"""`Http2ProtocolOptions` of a connection manager as a client sees them: text, compiler, server, real sockets."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

import h2.events
import pytest
import trio

from tests.integration.test_fields import HCM, proxy, virtual
from tests.kit.h2_client import frame
from tests.unit.proxy.h2_rig import GET, POST, Peer, connect
from tests.unit.proxy.rig import Rig, until
from tests.unit.upstream.rig import OK, answering, silent

OPTIONS = "envoy.config.core.v3.Http2ProtocolOptions"
KEEPALIVE = "envoy.config.core.v3.KeepaliveSettings"
HTTP2 = f"{HCM}.http2_protocol_options"


def brief(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs `test` on a clock that jumps, for a minute of it."""

    @functools.wraps(test)
    async def bounded() -> None:
        with trio.fail_after(60):
            await test()

    return virtual(bounded)


def field(name: str) -> pytest.MarkDecorator:
    return pytest.mark.field(f"{OPTIONS}.{name}", HTTP2)


async def settings(rig: Rig) -> dict[int, int]:
    """What the server announces."""
    peer = await connect(rig)
    event = await peer.until(h2.events.RemoteSettingsChanged)
    return {int(number): change.new_value for number, change in event.changed_settings.items()}


async def flooded(rig: Rig, data: bytes, stat: str) -> None:
    """`data`, behind a request whose body is still to come, is too much, and counted."""
    peer = await connect(rig)
    await peer.begin(POST, end=False)
    await peer.client.send(data)
    assert (await peer.end())[-1][1] == 11
    assert rig.stats.value(f"http2.{stat}") == 1


@brief
@pytest.mark.field(f"{HCM}.codec_type=HTTP2")
async def test_codec_type() -> None:
    async with proxy(answering(OK), hcm="codec_type: HTTP2") as rig:
        assert b"HTTP/1.1" not in await rig.ask()
        assert (await (await connect(rig)).get())[":status"] == "200"


@brief
async def test_the_defaults_are_those_of_envoy_1_40() -> None:
    """Features, section 13, rule 57."""
    async with proxy(answering(OK)) as rig:
        assert await settings(rig) == {1: 4096, 8: 0, 3: 1024, 4: 16777216}
        peer = await connect(rig)
        assert (await peer.until(h2.events.WindowUpdated)).delta == 25100289


@brief
@field("max_concurrent_streams")
@field("hpack_table_size")
@field("initial_stream_window_size")
@field("allow_connect")
async def test_what_is_announced() -> None:
    options = "max_concurrent_streams: 7, hpack_table_size: 100, initial_stream_window_size: 70000, allow_connect: true"
    async with proxy(answering(OK), hcm=f"http2_protocol_options: {{{options}}}") as rig:
        assert await settings(rig) == {1: 100, 8: 1, 3: 7, 4: 70000}


@brief
@field("initial_connection_window_size")
async def test_the_window_of_a_connection() -> None:
    async with proxy(answering(OK), hcm="http2_protocol_options: {initial_connection_window_size: 100000}") as rig:
        assert (await (await connect(rig)).until(h2.events.WindowUpdated)).delta == 100000 - 65535


@brief
@field("max_consecutive_inbound_frames_with_empty_payload")
async def test_empty_frames() -> None:
    hcm = "http2_protocol_options: {max_consecutive_inbound_frames_with_empty_payload: 3}"
    async with proxy(silent, hcm=hcm) as rig:
        peer = await connect(rig)
        await peer.begin(POST, end=False)
        await peer.client.send((frame(0, 0, 1) * 3 + frame(0, 0, 1, b"x")) * 2)
        await peer.begin()
        await flooded(rig, frame(0, 0, 1) * 4, "inbound_empty_frames_flood")
        await until(lambda: rig.value("downstream_cx_http2_active") == 1)


@brief
@field("max_inbound_priority_frames_per_stream")
async def test_priorities() -> None:
    async with proxy(silent, hcm="http2_protocol_options: {max_inbound_priority_frames_per_stream: 2}") as rig:
        await flooded(rig, frame(2, 0, 3, bytes(5)) * 5, "inbound_priority_frames_flood")


@brief
@field("max_inbound_window_update_frames_per_data_frame_sent")
async def test_window_updates() -> None:
    body = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    hcm = "http2_protocol_options: {max_inbound_window_update_frames_per_data_frame_sent: 100}"
    async with proxy(answering(body), hcm=hcm) as rig:
        peer = await connect(rig)
        await peer.get()
        await peer.client.send(frame(8, 0, 0, b"\0\0\0\x01") * 150)
        assert (await peer.get())[":status"] == "200"


@brief
@field("max_outbound_control_frames")
async def test_unsent_answers() -> None:
    async with proxy(silent, hcm="http2_protocol_options: {max_outbound_control_frames: 5}") as rig:
        await flooded(rig, frame(6, 0, 0, bytes(8)) * 6, "outbound_control_flood")


@brief
@field("max_outbound_frames")
async def test_unsent_frames() -> None:
    async with proxy(answering(OK), hcm="http2_protocol_options: {max_outbound_frames: 1}") as rig:
        peer = await connect(rig)
        await peer.client.send(frame(6, 0, 0, bytes(8)) * 6)
        assert (await peer.end())[-1][1] == 11


@brief
@field("override_stream_error_on_invalid_http_message")
async def test_an_invalid_message_ends_its_stream_alone() -> None:
    hcm = "http2_protocol_options: {override_stream_error_on_invalid_http_message: true}"
    async with proxy(answering(OK), hcm=hcm) as rig:
        peer = await connect(rig)
        stream = await peer.begin([*GET[:3], (":path", "/a b")])
        assert (await peer.until(h2.events.StreamReset, stream)).error_code == 1
        assert (await peer.get())[":status"] == "200"


@brief
@field("connection_keepalive")
@pytest.mark.field(f"{KEEPALIVE}.interval", f"{KEEPALIVE}.timeout", f"{KEEPALIVE}.interval_jitter")
async def test_a_client_that_does_not_answer_is_gone() -> None:
    keepalive = "{interval: 10s, timeout: 2s, interval_jitter: {value: 0}}"
    async with proxy(silent, hcm=f"http2_protocol_options: {{connection_keepalive: {keepalive}}}") as rig:
        peer = await connect(rig)
        began = trio.current_time()
        for number in range(1, 4):
            await peer.until(h2.events.PingReceived)
            assert trio.current_time() - began == pytest.approx(10 * number, abs=0.3)
        await rig_closes(peer)
        assert trio.current_time() - began == pytest.approx(42, abs=0.5)
        assert rig.stats.value("http2.keepalive_timeout") == 1


async def rig_closes(peer: Peer) -> None:
    """Read to the end, and answer nothing."""
    while await peer.client.stream.receive_some(65536):
        pass
