"""Hosts that break HTTP/2, or make it a burden: each loses its connection, and nothing else is lost."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
import trio

from proxy.errors import ProxyError
from proxy.http.codec_h2_client import MAX_INFORMATIONAL
from proxy.http.events import ResponseReceived
from proxy.http.h2_frames import PREFACE
from proxy.http.headers import Headers
from tests.kit.h2_client import frame
from tests.kit.trio import run_trio
from tests.unit.upstream.h2_rig import H2Rig, H2Server, until
from tests.unit.upstream.rig import origin

SETTINGS = frame(4)
OK_HEAD = frame(1, 4, 1, b"\x88")


def attacking(data: bytes) -> Callable[[trio.SocketStream], Awaitable[None]]:
    """A host that answers the first request with `data`, and all those on later connections as it should."""
    server, attacks = H2Server(), [data]

    async def serve(stream: trio.SocketStream) -> None:
        if not attacks:
            await server.serve(stream)
            return
        await stream.send_all(SETTINGS)
        received = b""
        while b"\x01\x05\0\0\0\x01" not in received:  # HEADERS of stream 1
            received += await stream.receive_some(65536)
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(attacks.pop())
            while await stream.receive_some(65536):
                pass

    return serve


CONTINUATIONS = frame(1, 0, 1, b"\x88") + frame(9, 0, 1, b"\0\1a\1b") * 10_000
ANSWERS = "outbound_control_flood inbound_control_frames_flood"  # unread, or too many; which comes first depends
ATTACKS: dict[str, tuple[bytes, str]] = {
    "PINGs": (frame(6, 0, 0, bytes(8)) * 2000, ANSWERS),
    "SETTINGS": (SETTINGS * 2000, ANSWERS),
    "priorities": (frame(2, 0, 3, bytes(5)) * 500, "inbound_priority_frames_flood"),
    "windows": (frame(8, 0, 0, b"\0\0\0\1") * 100, "inbound_window_update_frames_flood"),
    "nothing": (OK_HEAD + frame(0, 0, 1) * 3, "inbound_empty_frames_flood"),
    "unknown and empty": (frame(77, 0, 0) * 3, "inbound_empty_frames_flood"),
    "heads without an end": (CONTINUATIONS, ""),
    "a head that names too much": (frame(1, 4, 1, b"\x88\x40\x01a\x7f\x81\x1e" + b"x" * 4000 + b"\xbe" * 12_000), ""),
    "interim responses": (frame(1, 4, 1, b"\x08\x03103") * (MAX_INFORMATIONAL + 1), ""),
    "a promise": (frame(5, 4, 1, b"\0\0\0\2\x88"), ""),
    "a frame that is too large": (frame(0, 0, 1, bytes(16385)), ""),
    "a window that is too large": (frame(8, 0, 0, b"\x7f\xff\xff\xff"), ""),
    "settings that are none": (frame(4, 0, 0, b"\0\4\xff\xff\xff\xff"), ""),
    "a stream of its own": (frame(1, 5, 2, b"\x88"), ""),
    "HTTP/1": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""),
}


@pytest.mark.parametrize(("data", "flood"), ATTACKS.values(), ids=ATTACKS)
@run_trio
async def test_it_costs_its_connection(data: bytes, flood: str) -> None:
    options = {"initial_stream_window_size": 65535, "initial_connection_window_size": 65535}
    async with origin(attacking(data)) as host, H2Rig(host.address, http2=options) as rig:
        stream = await rig.begin()
        with pytest.raises(ProxyError, match="protocol_error"):
            await rig.finish(stream)
        await until(lambda: rig.stat("cx_active") == 0)
        assert [rig.stat("cx_protocol_error"), rig.stat("cx_destroy_local")] == [1, 1]
        assert sum(rig.http2(name) for name in flood.split()) == bool(flood)
        assert await rig.get() == b"ok"
    assert rig.in_use() == {}


@run_trio
async def test_more_than_the_window() -> None:
    """Of a body that nobody has read yet."""
    options = {"initial_stream_window_size": 65535, "initial_connection_window_size": 65535}
    body = OK_HEAD + frame(0, 0, 1, bytes(16384)) * 5
    async with origin(attacking(body)) as host, H2Rig(host.address, http2=options) as rig:
        stream = await rig.begin()
        await until(lambda: rig.stat("cx_active") == 0)
        with pytest.raises(ProxyError, match="protocol_error"):
            await rig.finish(stream)
        assert rig.stat("cx_protocol_error") == 1


@run_trio
async def test_goaway_after_goaway_is_one() -> None:
    storm = frame(7, 0, 0, b"\0\0\0\1" + bytes(4)) * 5000 + frame(1, 5, 1, b"\x88")
    async with origin(attacking(storm)) as host, H2Rig(host.address) as rig:
        stream = await rig.begin()
        head = await stream.receive()
        assert isinstance(head, ResponseReceived)
        stream.close()
        await until(lambda: rig.stat("cx_active") == 0)
        assert [rig.stat("cx_close_notify"), rig.stat("cx_protocol_error")] == [1, 0]


@run_trio
async def test_a_host_that_reads_nothing_gets_no_more_requests() -> None:
    """Heads have no window. What fills its socket, and our output, is all that it costs."""

    async def deaf(stream: trio.SocketStream) -> None:
        await stream.send_all(SETTINGS)
        await trio.sleep_forever()

    large = Headers([(b"x", b"y" * 50_000)])
    async with origin(deaf) as host, H2Rig(host.address, breaker={"max_connections": 1}) as rig:
        tracemalloc.start()
        try:
            async with trio.open_nursery() as nursery:

                async def ask() -> None:
                    stream = await rig.cluster.open_stream()
                    try:
                        await stream.send_request(b"GET", b"/", b"h", large, end_stream=True)
                        await stream.receive()
                    finally:
                        stream.close()

                for _ in range(500):
                    nursery.start_soon(ask)
                    await trio.lowlevel.checkpoint()
                await until(lambda: rig.stat("rq_pending_active") > 0)
                _, peak = tracemalloc.get_traced_memory()
                assert peak < 20 * 1024 * 1024
                await until(lambda: rig.stat("rq_active") + rig.stat("rq_pending_active") == 500)
                nursery.cancel_scope.cancel()
        finally:
            tracemalloc.stop()
    assert rig.in_use() == {}


@run_trio
async def test_a_host_that_is_none_of_http2() -> None:
    """It hears our preface, and may say what it likes."""
    heard = b""

    async def old(stream: trio.SocketStream) -> None:
        nonlocal heard
        heard = bytes(await stream.receive_some(65536))
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")

    async with origin(old) as host, H2Rig(host.address) as rig:
        with pytest.raises(ProxyError, match="protocol_error") as caught:
            await rig.get()
        assert caught.value.status == 502
    assert heard.startswith(PREFACE)
