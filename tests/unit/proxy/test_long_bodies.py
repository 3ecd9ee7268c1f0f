"""Long bodies that go wrong half-way: the same is said and counted whether pipes, memory or the codecs carry them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import pytest
import trio

from proxy.http import body_relay
from proxy.net.pipe import Memory, PipePool
from tests.kit.leaks import no_leaks
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.network.tcp import reset
from tests.unit.proxy.rig import GET, Client, Rig, compiled, plugin, route, serving, until, virtual_clock
from tests.unit.upstream.rig import origin, read_head

SIZE = 12_000_000
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE
POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % SIZE
PART = bytes(2_000_000)


@pytest.fixture(params=["pipes", "memory", "codecs"], autouse=True)
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each way of carrying a body. Nothing is left open by any."""
    if request.param == "memory":
        monkeypatch.setattr(PipePool, "take", lambda self: Memory())
    elif request.param == "codecs":
        monkeypatch.setattr(body_relay, "SPLICE_FROM", sys.maxsize)
    with no_leaks():
        yield


async def over(rig: Rig) -> tuple[str, str, int]:
    """Detail, flags and status of the only exchange, once its connection has ended and nothing is left of it."""
    await rig.quiet()
    assert not {name for name in rig.gauges() if "cx_active" not in name}
    for pipe in rig.server._pipes._spare:
        with pytest.raises(BlockingIOError):
            os.read(pipe._reader, 1)
    (record,) = rig.records
    return record.detail, record.flags, record.status


@run_trio
async def test_a_client_that_leaves_within_a_response() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(HEAD)
        while True:
            await stream.send_all(PART)

    async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(GET)
        await client.until(b"\r\n\r\n")
        reset(client.stream)
        assert await over(rig) == ("downstream_remote_disconnect", "DC", 200)
        assert rig.stats.value("cluster.origin.upstream_cx_destroy_local_with_active_rq") == 1


@run_trio
async def test_a_client_that_leaves_within_a_request() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        while await stream.receive_some(65536):
            pass

    async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(POST + PART)
        await trio.aclose_forcefully(client.stream)
        assert await over(rig) == ("downstream_remote_disconnect", "DC", 0)
        assert rig.stats.value("cluster.origin.upstream_cx_destroy_local_with_active_rq") == 1


@run_trio
@pytest.mark.parametrize("ends", [True, False], ids=["ends", "resets"])
async def test_an_upstream_that_breaks_off_its_response(ends: bool) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(HEAD + PART)
        if not ends:
            reset(stream)

    async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
        answer = await rig.ask()
        assert len(answer.partition(b"\r\n\r\n")[2]) == len(PART) or not ends
        assert await over(rig) == ("upstream_reset_after_response_started{protocol_error}", "UPE", 200)
        assert rig.stats.value("cluster.origin.upstream_cx_destroy_remote_with_active_rq") == 1


@run_trio
async def test_an_upstream_that_breaks_off_within_the_request() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        reset(stream)

    async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(POST + PART[:700_000])
        head, _ = await client.response()
        assert head.startswith(b"HTTP/1.1 503 ")
        await trio.aclose_forcefully(client.stream)
        assert await over(rig) == ("upstream_reset_before_response_started{connection_termination}", "UC", 503)


@run_trio
async def test_an_answer_that_overtakes_its_request() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        await stream.send_all(b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno")
        await trio.sleep_forever()

    async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_what_is_taken, client, POST + PART * 6)
            head, body = await client.response()
            nursery.cancel_scope.cancel()
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in head
        assert body == b"no"
        await trio.aclose_forcefully(client.stream)
        await rig.quiet()
        assert rig.stats.value("cluster.origin.upstream_cx_destroy_local_with_active_rq") == 1


async def send_what_is_taken(client: Client, data: bytes) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        await client.send(data)


@run_trio
async def test_bytes_behind_a_response_go_to_nobody() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(HEAD + PART * 6 + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await stream.receive_some(1)

    async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig, await rig.connect() as client:
        await client.send(GET)
        _, body = await client.response()
        assert len(body) == SIZE
        await until(lambda: not rig.stats.value("cluster.origin.upstream_rq_active"))
        assert rig.stats.value("cluster.origin.upstream_cx_protocol_error") == 1
        assert rig.stats.value("cluster.origin.upstream_cx_active") == 0


async def sending(stream: trio.SocketStream) -> None:
    """An origin that sends the whole response."""
    await read_head(stream)
    await stream.send_all(HEAD + PART * 6)


def test_a_reader_that_stops() -> None:
    async def check() -> None:
        async with origin(sending) as upstream, serving(compiled(upstream.address, stream_idle_timeout=5.0)) as rig:
            client = await rig.connect(receive_buffer=4096)
            await client.send(GET)
            await client.until(b"\r\n\r\n")
            assert await over(rig) == ("stream_idle_timeout", "SI", 200)

    trio.run(check, clock=virtual_clock())


def test_a_reader_that_takes_its_time() -> None:
    """Each byte that it takes begins the stream's idle timeout anew."""

    async def check() -> None:
        options = {"stream_idle_timeout": 5.0, "routes": [route(timeout=0.0)]}
        async with origin(sending) as upstream, serving(compiled(upstream.address, **options)) as rig:
            client = await rig.connect()
            await client.send(GET)
            left, taken, began = SIZE, 0, trio.current_time()
            while left > 0 and (piece := await client.stream.receive_some(65536)):
                left, taken = left - len(piece), taken + len(piece)
                if taken > 1_500_000:  # a full send buffer takes more only once a third of it is free
                    taken = 0
                    await trio.sleep(2)
            assert left <= 0
            assert trio.current_time() - began > 10

    trio.run(check, clock=virtual_clock())


@run_trio
async def test_a_drain_lets_a_long_response_end() -> None:
    begun, draining = trio.Event(), trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(HEAD)
        begun.set()
        await draining.wait()
        await stream.send_all(PART * 6)

    async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(GET)
        await begun.wait()
        rig.start_drain()
        draining.set()
        _, body = await client.response()
        assert len(body) == SIZE


@run_trio
async def test_a_filter_that_changes_the_response_sees_all_of_it() -> None:
    size = 1_000_000

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size))

    own = {"module": "tests.unit.proxy.filters.http.conforming", "filter_name": "flip", "value": None}
    flip = plugin("flip", "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter", own)
    async with origin(serve) as upstream, serving(compiled(upstream.address, filters=[flip])) as rig:
        answer = await rig.ask(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    _, _, body = answer.partition(b"\r\n\r\n")
    assert body.count(b"\xff") == size
    assert b"\0" not in body
