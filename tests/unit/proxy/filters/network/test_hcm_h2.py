"""HTTP/2 connections of a whole server: real sockets, virtual time, and the `h2` package as the client."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import h2.events
import pytest
import trio

from proxy.config.access_log import AccessLog
from proxy.config.http2 import Http2Options
from tests.kit.h2_client import frame
from tests.unit.proxy.h2_rig import GET, POST, Peer, connect
from tests.unit.proxy.rig import Rig, compiled, plugin, route, serving, until, virtual_clock
from tests.unit.upstream.rig import OK, answering, origin, silent

FILE = "envoy.extensions.access_loggers.file.v3.FileAccessLog"


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs `test` on a clock that jumps when nothing happens."""

    @functools.wraps(test)
    def run(*arguments: object, **named: object) -> None:
        trio.run(functools.partial(test, *arguments, **named), clock=virtual_clock())

    return run


@contextlib.asynccontextmanager
async def plain(handler: Any = None, **hcm: Any) -> AsyncIterator[Rig]:
    async with origin(handler or answering(OK)) as upstream, serving(compiled(upstream.address, **hcm)) as rig:
        yield rig


@virtual
async def test_both_versions_on_one_port() -> None:
    async with plain() as rig:
        peer = await connect(rig)
        for _ in range(3):
            assert (await peer.get())[":status"] == "200"
        one = await rig.connect()
        await one.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await one.response())[0].startswith(b"HTTP/1.1 200")
        counted = {name: rig.value(f"downstream_{name}") for name in ("cx_http1_total", "cx_http2_total")}
        assert counted == {"cx_http1_total": 1, "cx_http2_total": 1}
        assert (rig.value("downstream_rq_http2_total"), rig.value("downstream_rq_http1_total")) == (3, 1)
        assert rig.value("downstream_cx_http2_active") == 1


@virtual
async def test_a_preface_that_dribbles_in() -> None:
    async with plain() as rig:
        peer = Peer(await rig.connect())
        for byte in peer.h2.data_to_send():
            await peer.client.send(bytes((byte,)))
            await trio.sleep(0.01)
        assert (await peer.get())[":status"] == "200"


@virtual
async def test_what_begins_like_the_preface_and_is_not() -> None:
    async with plain() as rig:
        client = await rig.connect()
        for piece in (b"P", b"OST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"):
            await client.send(piece)
            await trio.sleep(0.01)
        assert (await client.response())[0].startswith(b"HTTP/1.1 200")
        assert rig.value("downstream_cx_http1_total") == 1


@virtual
async def test_a_preface_that_never_ends_is_given_up() -> None:
    async with plain(request_headers_timeout=2.0) as rig:
        client = await rig.connect()
        began = trio.current_time()
        await client.send(b"PRI * HT")
        await client.rest()
        assert trio.current_time() - began == pytest.approx(2, abs=0.5)
        await rig.quiet()


@virtual
async def test_codec_types_that_leave_no_choice() -> None:
    async with plain(codec_type="HTTP1") as rig:
        peer = await connect(rig)
        assert (await peer.client.until(b"\r\n")).startswith(b"HTTP/1.1 505")
    async with plain(codec_type="HTTP2") as rig:
        assert (await (await connect(rig)).get())[":status"] == "200"
        told = await rig.ask(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert told[-17:] == b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01"
        assert rig.value("downstream_cx_protocol_error") == 1


@virtual
async def test_a_slow_reader_of_one_stream_stops_that_stream_alone() -> None:
    body = bytes(1 << 20)
    async with plain(answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))) as rig:
        peer = await connect(rig)
        peer.h2.increment_flow_control_window(1 << 24)
        slow, quick = await peer.begin(), await peer.begin()
        peer.h2.increment_flow_control_window(1 << 24, quick)
        await peer.flush()
        await peer.until(h2.events.StreamEnded, quick)
        got = sum(len(e.data) for e in peer.events if isinstance(e, h2.events.DataReceived) and e.stream_id == slow)
        assert got == 65535
        peer.h2.increment_flow_control_window(1 << 24, slow)
        await peer.flush()
        await peer.until(h2.events.StreamEnded, slow)


@virtual
async def test_an_upload_that_nobody_reads_stops_at_its_window() -> None:
    options = Http2Options(initial_stream_window_size=65535, initial_connection_window_size=1 << 20)
    async with plain(silent, http2=options) as rig:
        peer = await connect(rig)
        await peer.until(h2.events.RemoteSettingsChanged)
        stream = await peer.begin([*POST], end=False)
        sent = 0
        with trio.move_on_after(5):
            while True:
                room = peer.h2.local_flow_control_window(stream)
                if room:
                    peer.h2.send_data(stream, bytes(min(room, 16384)))
                    sent += min(room, 16384)
                    await peer.flush()
                else:
                    await peer.read()
        held = sent - rig.stats.value("cluster.origin.upstream_cx_tx_bytes_total")
        assert 0 < held < 2 * 65536


@virtual
async def test_a_client_that_resets_its_stream_ends_the_exchange_and_no_other() -> None:
    async with plain(silent) as rig:
        peer = await connect(rig)
        streams = [await peer.begin() for _ in range(2)]
        await until(lambda: rig.stats.value("cluster.origin.upstream_rq_active") == 2)
        peer.h2.reset_stream(streams[0], 8)
        await peer.flush()
        await until(lambda: rig.stats.value("cluster.origin.upstream_rq_active") == 1)
        (record,) = rig.records
        assert (record.flags, record.detail, record.protocol) == ("DR", "http2.remote_reset", "HTTP/2")
        assert rig.value("downstream_rq_rx_reset") == 1


@virtual
async def test_a_client_that_goes_ends_all_its_exchanges() -> None:
    async with plain(silent) as rig:
        peer = await connect(rig)
        for _ in range(3):
            await peer.begin()
        await until(lambda: rig.stats.value("cluster.origin.upstream_rq_active") == 3)
        await trio.aclose_forcefully(peer.client.stream)
        await rig.quiet()
        assert {(record.flags, record.detail) for record in rig.records} == {("DC", "downstream_remote_disconnect")}
        assert not rig.gauges()
        assert rig.value("downstream_cx_destroy_remote_active_rq") == 1


@virtual
async def test_an_idle_connection_ends_in_two_steps() -> None:
    async with plain(idle_timeout=10.0, drain_timeout=3.0) as rig:
        peer = await connect(rig)
        await peer.get()
        began = trio.current_time()
        assert await peer.end() == [(2**31 - 1, 0), (1, 0)]
        assert trio.current_time() - began == pytest.approx(13, abs=1)
        assert rig.value("downstream_cx_idle_timeout") == 1
        await rig.quiet()


@virtual
async def test_a_head_without_an_end_ends_the_connection_and_no_other_stream() -> None:
    async with plain(silent, request_headers_timeout=5.0, drain_timeout=1.0, stream_idle_timeout=60.0) as rig:
        peer = await connect(rig)
        await peer.begin()
        await peer.until(h2.events.RemoteSettingsChanged)  # whose answer may not come within a head
        began = trio.current_time()
        await peer.client.send(frame(1, 1, 3, b"\x82"))
        for _ in range(3):
            await trio.sleep(1.5)
            await peer.client.send(frame(9, 0, 3, b"\x84"))
        notice = await peer.until(h2.events.ConnectionTerminated)
        assert notice.error_code == 0
        assert trio.current_time() - began == pytest.approx(5, abs=0.5)
        assert rig.value("downstream_rq_header_timeout") == 1
        assert rig.value("downstream_rq_active") == 1
        assert (await peer.until(h2.events.ResponseReceived)).stream_id == 1  # 504
        assert await peer.end() == [(1, 0)]
        assert trio.current_time() - began == pytest.approx(15, abs=2)


@virtual
async def test_a_request_within_the_drain_is_served() -> None:
    async with plain(idle_timeout=10.0, drain_timeout=3.0) as rig:
        peer = await connect(rig)
        await peer.get()
        await peer.until(h2.events.ConnectionTerminated)
        assert (await peer.get())[":status"] == "200"
        assert (await peer.end())[-1] == (3, 0)


@virtual
async def test_connections_do_not_live_for_ever() -> None:
    async with plain(max_connection_duration=10.0, drain_timeout=1.0) as rig:
        peer = await connect(rig)
        assert await peer.end() == [(2**31 - 1, 0), (0, 0)]
        assert rig.value("downstream_cx_max_duration_reached") == 1
    async with plain(max_requests_per_connection=2, drain_timeout=1.0) as rig:
        peer = await connect(rig)
        for _ in range(2):
            await peer.get()
        assert await peer.end() == [(2**31 - 1, 0), (3, 0)]
        assert rig.value("downstream_cx_max_requests_reached") == 1


@virtual
async def test_a_drain_ends_a_connection_with_its_next_response() -> None:
    async with plain(drain_timeout=2.0) as rig:
        peer = await connect(rig)
        await peer.get()
        rig.start_drain()
        head = await peer.get()
        assert "connection" not in head
        assert [code for _, code in await peer.end()] == [0, 0]
        await rig.quiet()
        assert rig.value("downstream_cx_drain_close") == 1


@virtual
async def test_an_idle_connection_that_a_drain_closes_is_told() -> None:
    async with plain() as rig:
        peer = await connect(rig)
        await peer.get()
        rig.start_drain()
        rig.server.close_idle()
        assert await peer.end() == [(1, 0)]


@virtual
async def test_time_outs_answer_on_their_stream() -> None:
    async with plain(silent, routes=[route(timeout=5.0)]) as rig:
        peer = await connect(rig)
        assert (await peer.get())[":status"] == "504"
    async with plain(silent, stream_idle_timeout=5.0, routes=[route(timeout=0.0)]) as rig:
        peer = await connect(rig)
        assert (await peer.get())[":status"] == "504"
        stream = await peer.begin(POST, end=False)
        head = await peer.until(h2.events.ResponseReceived, stream)
        assert dict(head.headers)[":status"] == "408"
        assert (await peer.until(h2.events.StreamReset, stream)).error_code == 0


@virtual
async def test_a_client_that_never_reads_is_given_up() -> None:
    body = bytes(64 << 20)
    response = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    async with plain(answering(response), stream_idle_timeout=20.0, idle_timeout=30.0) as rig:
        peer = Peer(await rig.connect(receive_buffer=4096))
        peer.h2.increment_flow_control_window(2**31 - 1 - 65535)
        await peer.flush()
        stream = await peer.begin()
        peer.h2.increment_flow_control_window(2**31 - 1 - 65535, stream)
        await peer.flush()
        await rig.quiet()
        assert not rig.gauges()


@virtual
async def test_who_is_connected_is_told_by_its_oldest_stream() -> None:
    from proxy.sessions import Question

    async with plain(silent) as rig:
        peer = await connect(rig)
        for path in ("/a", "/b"):
            await peer.begin([*GET[:3], (":path", path)])
        await until(lambda: rig.stats.value("cluster.origin.upstream_rq_active") == 2)
        _, (session,) = rig.server.sessions(Question())
        assert (session["kind"], session["request"]) == ("request", "GET /a")
        peer.h2.reset_stream(1)
        await peer.flush()
        await until(lambda: rig.stats.value("cluster.origin.upstream_rq_active") == 1)
        assert rig.server.sessions(Question())[1][0]["request"] == "GET /b"


@virtual
async def test_no_other_process_takes_it_over() -> None:
    async with plain() as rig:
        await (await connect(rig)).get()
        one = await rig.connect()
        await one.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await one.response()
        await until(lambda: len(rig.server.idle_connections("l", 9)) == 1)


def test_the_log_of_requests_and_of_those_that_were_none(tmp_path: Any) -> None:
    text = "%PROTOCOL% %REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS%\n"
    log = AccessLog(plugin("file", FILE, {"path": str(tmp_path / "log"), "format": {"text": text}}))

    @virtual
    async def run() -> None:
        async with plain(access_log=(log,)) as rig:
            peer = await connect(rig)
            await peer.get()
            await peer.begin([*GET[:3], (":path", "/a b")])
            await peer.end()
            await rig.quiet()

    run()
    assert (tmp_path / "log").read_text() == "HTTP/2 GET 200 -\nHTTP/2 - 0 DPE\n"
