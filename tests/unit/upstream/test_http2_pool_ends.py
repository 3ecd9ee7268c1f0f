"""HTTP/2 connections that fail before they begin, or end between the moment that a request gets one and its use."""

from __future__ import annotations

import gc

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from proxy.config.common import SocketAddress
from proxy.errors import Flag, ProxyError
from proxy.http.events import GoawayReceived
from proxy.http.h2_channel import H2Channel
from proxy.http.headers import Headers
from proxy.upstream import http2_pool
from proxy.upstream.connect import ConnectFailed
from proxy.upstream.http2_connection import Http2Connection
from tests.kit.trio import run_trio
from tests.unit.upstream.h2_rig import H2Rig, H2Server, until
from tests.unit.upstream.rig import origin, read_body

# --- connecting -------------------------------------------------------------------------------------------------------


@run_trio(virtual_time=True)
async def test_a_bug_in_connecting_fails_those_who_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another connection would end in the same way, and so on for ever."""
    connects = 0

    async def connect(*_: object) -> None:
        nonlocal connects
        connects += 1
        if connects == 1:
            raise RuntimeError("a bug")
        await trio.sleep_forever()

    monkeypatch.setattr(http2_pool, "connect_to", connect)
    failures: list[ProxyError] = []

    async def ask() -> None:
        with pytest.raises(ProxyError) as caught:
            await rig.get()
        failures.append(caught.value)

    async with H2Rig(SocketAddress("127.0.0.1", 1)) as rig:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        assert [(each.detail, each.side, each.status) for each in failures] == [("internal_error", "internal", 500)] * 3
        assert (connects, rig.stat("cx_total")) == (1, 1)
        assert rig.in_use() == {}
    assert "a bug" in caplog.text


@run_trio
async def test_a_host_that_refuses_more_connections_is_not_asked_again_for_those_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until there is another request; else that would go on as fast as it refuses."""
    refused = 0

    async def refuse(*_: object) -> None:
        nonlocal refused
        refused += 1
        if refused > 9:  # enough seen
            await trio.sleep_forever()
        raise ConnectFailed("refused")

    server = H2Server(max_streams=2, holds=True)
    options = {"max_concurrent_streams": 2}
    async with origin(server.serve) as host, H2Rig(host.address, http2=options, preconnect_ratio=1.5) as rig:
        streams = [await rig.begin()]
        monkeypatch.setattr(http2_pool, "connect_to", refuse)
        streams.append(await rig.begin())
        await until(lambda: server.peers and len(server.peers[0].asked) == 2)
        await wait_all_tasks_blocked()
        assert (refused, rig.stat("cx_connect_fail"), rig.stat("cx_active")) == (1, 1, 1)
        for stream in streams:
            stream.close()
    assert rig.in_use() == {}


# --- GOAWAY that has been read, when the request has its connection already -------------------------------------------


def first(rig: H2Rig) -> Http2Connection:
    """The connection that there is."""
    (pool,) = rig.cluster._pools
    assert isinstance(pool, http2_pool.Http2Pool)
    (connection,) = pool._connections
    return connection


@run_trio
async def test_who_has_been_promised_a_stream_meanwhile_asks_for_another() -> None:
    server = H2Server(max_streams=1, holds=True)
    async with origin(server.serve) as host, H2Rig(host.address, breaker={"max_connections": 1}) as rig:
        running = await rig.begin()
        await until(lambda: first(rig).codec.settled and server.peers[0].asked)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.get)
            await until(lambda: rig.stat("rq_pending_active") == 1)
            connection = first(rig)
            running.close()  # now it is the waiter's, which has not run yet
            assert connection.claimed == 1
            connection._dispatch(GoawayReceived(1, 0))
            await until(lambda: len(server.peers) == 2 and server.peers[1].asked)
            await server.peers[1].answer(1)
        assert server.peers[0].asked == []
        assert [rig.stat("rq_total"), rig.stat("cx_close_notify")] == [2, 1]
    assert rig.in_use() == {}


@run_trio
async def test_a_request_that_is_not_out_yet_is_refused_in_the_name_of_its_host() -> None:
    """Who hears that may try again: the host has not seen it, and never would have."""
    server = H2Server(holds=True)
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        stream = await rig.cluster.open_stream()
        await until(lambda: server.peers)
        await server.peers[0].goaway(0)
        await until(lambda: rig.stat("cx_close_notify") == 1)
        await stream.send_request(b"GET", b"/", b"h", Headers(), end_stream=True)
        with trio.fail_after(5), pytest.raises(ProxyError, match="remote_refused_stream_reset") as caught:
            await read_body(stream)
        assert (caught.value.flag, caught.value.retryable) == (Flag.UPSTREAM_REMOTE_RESET, "always")
        stream.close()
        await until(lambda: rig.stat("cx_active") == 0)
        assert server.peers[0].asked == []
    assert rig.in_use() == {}


# --- what a stream leaves behind --------------------------------------------------------------------------------------


def channels() -> int:
    """How many there are, whosoever they are."""
    return sum(type(each) is H2Channel for each in gc.get_objects())


@run_trio
async def test_a_stream_that_has_failed_is_no_garbage_for_the_collector() -> None:
    """Which does not run often: bodies would pile up."""
    server = H2Server(holds=True)
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        gc.collect()
        gc.disable()
        before = channels()
        try:
            for _ in range(3):
                stream = await rig.begin()
                await until(lambda: server.peers and server.peers[0].asked)
                (peer,) = server.peers
                peer.h2.reset_stream(peer.asked.pop(), 7)
                await peer.flush()
                with pytest.raises(ProxyError, match="remote_refused"):
                    await rig.finish(stream)
                del stream
            assert channels() <= before
        finally:
            gc.enable()
