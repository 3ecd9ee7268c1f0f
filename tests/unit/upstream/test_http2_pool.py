"""HTTP/2 to one host: who gets which connection, limits, ends of connections, and cancellation at every point."""

from __future__ import annotations

import weakref

import h2.settings
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from proxy.config.http2 import Keepalive
from proxy.errors import Flag, ProxyError
from proxy.http.headers import Headers
from proxy.upstream.tables import ClusterColumn, HostColumn
from tests.kit.trio import run_trio
from tests.unit.upstream.h2_rig import H2Rig, H2Server, until
from tests.unit.upstream.rig import origin
from tests.unit.upstream.test_connect import close_all, full_listener
from tests.unit.upstream.test_pool import with_clock

# --- one connection, many requests ------------------------------------------------------------------------------------


@run_trio
async def test_requests_share_a_connection() -> None:
    server = H2Server(holds=True)
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        streams = [await rig.begin() for _ in range(5)]
        await until(lambda: server.peers and len(server.peers[0].asked) == 5)
        (peer,) = server.peers
        for stream in reversed(peer.asked):
            await peer.answer(stream, b"%d" % stream)
        assert [await rig.finish(stream) for stream in streams] == [b"1", b"3", b"5", b"7", b"9"]
        stats = {"cx_total": 1, "cx_http2_total": 1, "cx_active": 1, "rq_total": 5, "rq_pending_total": 1, "rq_200": 5}
        assert rig.nonzero() == stats
        assert [rig.host(HostColumn.RQ_TOTAL), rig.host(HostColumn.CX_TOTAL)] == [5, 1]
        assert {stream.identity.protocol for stream in streams} == {"HTTP/2"}
    assert rig.in_use() == {}


@run_trio
async def test_more_wait_than_a_connection_carries() -> None:
    """Ours is the lower limit: while the first one connects, those who wait have a second one opened for them."""
    server = H2Server(holds=True)
    async with (
        origin(server.serve) as host,
        H2Rig(host.address, http2={"max_concurrent_streams": 2}) as rig,
        trio.open_nursery() as nursery,
    ):
        for _ in range(3):
            nursery.start_soon(rig.get)
        await until(lambda: sum(len(peer.asked) for peer in server.peers) == 3)
        assert sorted(len(peer.asked) for peer in server.peers) == [1, 2]
        assert [rig.stat("cx_total"), rig.stat("rq_pending_total")] == [2, 3]
        for peer in server.peers:
            for stream in list(peer.asked):
                await peer.answer(stream)
    assert rig.in_use() == {}


@run_trio
async def test_the_host_says_how_many_it_takes() -> None:
    server = H2Server(max_streams=1, holds=True)
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        first = await rig.begin()
        await until(lambda: list(rig.cluster._pools) and server.peers and server.peers[0].asked)
        second = await rig.begin()
        await until(lambda: len(server.peers) == 2 and server.peers[1].asked)
        for peer, stream in zip(server.peers, (first, second), strict=True):
            await peer.answer(1)
            assert await rig.finish(stream) == b"ok"
        assert [rig.stat("cx_total"), rig.stat("rq_total")] == [2, 2]


@run_trio
async def test_at_max_connections_requests_wait_in_order_for_room() -> None:
    server, order = H2Server(holds=True), list[int]()
    options = {"max_concurrent_streams": 1}
    async with (
        origin(server.serve) as host,
        H2Rig(host.address, http2=options, breaker={"max_connections": 1}) as rig,
    ):
        first = await rig.begin()

        async def later(number: int) -> None:
            await rig.get()
            order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(later, number)
                await wait_all_tasks_blocked()
            assert rig.stat("rq_pending_active") == rig.tables.clusters.get(0, ClusterColumn.PENDING) == 3
            server.holds = False
            await server.peers[0].answer(1)
            assert await rig.finish(first) == b"ok"
        assert order == [0, 1, 2]
        assert [rig.stat("cx_total"), rig.stat("rq_pending_total")] == [1, 4]
        assert rig.stat("cx_overflow") > 0


# --- limits -----------------------------------------------------------------------------------------------------------


@run_trio
async def test_max_pending_requests() -> None:
    server = H2Server()
    async with origin(server.serve) as host, H2Rig(host.address, breaker={"max_pending_requests": 0}) as rig:
        with pytest.raises(ProxyError, match=r"\{overflow\}") as caught:
            await rig.cluster.open_stream()
        assert caught.value.flag is Flag.UPSTREAM_OVERFLOW
        assert rig.nonzero() == {"rq_pending_overflow": 1, "rq_503": 1}


@run_trio
async def test_max_requests() -> None:
    server = H2Server(holds=True)
    async with origin(server.serve) as host, H2Rig(host.address, breaker={"max_requests": 1}) as rig:
        stream = await rig.begin()
        with pytest.raises(ProxyError, match=r"\{overflow\}"):
            await rig.cluster.open_stream()
        assert rig.stat("rq_active_overflow") == 1
        await until(lambda: server.peers and server.peers[0].asked)
        server.holds = False
        await server.peers[0].answer(1)
        assert await rig.finish(stream) == b"ok"
        assert await rig.get() == b"ok"
        assert rig.stat("cx_total") == 1


@run_trio
async def test_max_requests_per_connection() -> None:
    server = H2Server()
    async with origin(server.serve) as host, H2Rig(host.address, max_requests_per_connection=2) as rig:
        for _ in range(5):
            assert await rig.get() == b"ok"
        await until(lambda: rig.stat("cx_active") == 1)
        assert [rig.stat("cx_total"), rig.stat("cx_max_requests"), rig.stat("cx_destroy_local")] == [3, 2, 2]
        assert rig.stat("cx_destroy_with_active_rq") == 0


# --- ends -------------------------------------------------------------------------------------------------------------


@run_trio
async def test_a_host_that_refuses_connections() -> None:
    async with origin(H2Server().serve) as host:
        pass
    async with H2Rig(host.address) as rig:
        failures: list[ProxyError] = []

        async def fail() -> None:
            with pytest.raises(ProxyError) as caught:
                await rig.get()
            failures.append(caught.value)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(fail)
        assert {failure.flag for failure in failures} == {Flag.UPSTREAM_CONNECTION_FAILURE}
        assert [rig.stat(name) for name in ("cx_connect_fail", "rq_pending_failure_eject", "rq_503")] == [1, 3, 3]
    assert rig.in_use() == {}


@with_clock
async def test_a_host_that_does_not_accept(clock: MockClock) -> None:
    address, sockets = full_listener()
    async with H2Rig(address, connect_timeout=3.0) as rig:
        async with trio.open_nursery() as nursery:

            async def fail() -> None:
                with pytest.raises(ProxyError, match=r"\{connection_timeout\}"):
                    await rig.get()

            nursery.start_soon(fail)
            await wait_all_tasks_blocked()
            clock.jump(3.0)
        assert [rig.stat(name) for name in ("cx_connect_timeout", "cx_destroy_local")] == [1, 1]
    close_all(*sockets)
    assert rig.in_use() == {}


@run_trio
async def test_goaway_lets_the_streams_end_and_the_next_ones_go_elsewhere() -> None:
    server = H2Server(holds=True)
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        kept, refused = await rig.begin(), await rig.begin()
        await until(lambda: server.peers and len(server.peers[0].asked) == 2)
        (peer,) = server.peers
        await peer.goaway(1)
        with pytest.raises(ProxyError, match="remote_refused_stream_reset") as caught:
            await rig.finish(refused)
        assert (caught.value.flag, caught.value.retryable) == (Flag.UPSTREAM_REMOTE_RESET, "always")
        server.holds = False
        assert await rig.get() == b"ok"
        assert len(server.peers) == 2
        await peer.answer(1)
        assert await rig.finish(kept) == b"ok"
        await until(lambda: rig.stat("cx_active") == 1)
        assert [rig.stat("cx_close_notify"), rig.stat("cx_destroy_local"), rig.http2("rx_reset")] == [1, 1, 0]


@run_trio
async def test_an_idle_connection_ends_with_goaway_or_with_its_peer() -> None:
    server = H2Server()
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        assert await rig.get() == b"ok"
        await server.peers[0].goaway(1)
        await until(lambda: rig.stat("cx_active") == 0)
        assert await rig.get() == b"ok"
        await server.peers[1].stream.aclose()
        await until(lambda: rig.stat("cx_active") == 0)
        assert [rig.stat("cx_destroy_local"), rig.stat("cx_destroy_remote")] == [1, 1]
        assert rig.stat("cx_destroy_with_active_rq") == 0


@run_trio
async def test_a_connection_that_ends_takes_its_streams_along() -> None:
    server = H2Server(holds=True)
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        streams = [await rig.begin() for _ in range(2)]
        await until(lambda: server.peers and len(server.peers[0].asked) == 2)
        await server.peers[0].stream.aclose()
        for stream in streams:
            with pytest.raises(ProxyError, match="connection_termination") as caught:
                await rig.finish(stream)
            assert caught.value.flag is Flag.UPSTREAM_CONNECTION_TERMINATION
        await until(lambda: rig.stat("cx_active") == 0)
        assert rig.stat("cx_destroy_remote_with_active_rq") == 1
    assert rig.in_use() == {}


@run_trio
async def test_our_reset_leaves_the_connection() -> None:
    server = H2Server(holds=True)
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        (await rig.begin()).close()
        assert rig.stat("rq_tx_reset") == 1
        server.holds = False
        assert await rig.get() == b"ok"
        await until(lambda: server.peers and server.peers[0].resets() == [8])
        assert rig.stat("cx_total") == 1


@run_trio
async def test_a_request_that_waits_may_be_cancelled() -> None:
    """The connection that is being opened for it is for the next one."""
    server = H2Server()
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        with trio.CancelScope() as scope:
            scope.cancel()
            await rig.get()
        assert rig.stat("rq_cancelled") == 1
        await until(lambda: server.peers)
        assert await rig.get() == b"ok"
        assert rig.stat("cx_total") == 1
    assert rig.in_use() == {}


@run_trio
async def test_a_slow_reader_stops_its_own_stream_alone() -> None:
    server = H2Server(holds=True)
    options = {"initial_stream_window_size": 65535}
    async with origin(server.serve) as host, H2Rig(host.address, http2=options) as rig:
        slow = await rig.begin()
        await until(lambda: server.peers and server.peers[0].asked)
        peer = server.peers[0]
        peer.h2.send_headers(1, [(":status", "200")])
        for _ in range(4):
            peer.h2.send_data(1, bytes(16383))
        await peer.flush()
        assert peer.h2.local_flow_control_window(1) < 4
        server.holds = False
        assert await rig.get() == b"ok", "beside it"
        assert peer.h2.local_flow_control_window(1) < 4, "nobody has read it, so nobody has given it back"
        await slow.receive()
        taken = 0
        while taken < 65532:
            taken += len((await slow.receive()).data)  # type: ignore[union-attr]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow.receive)  # who asks for more has done with what came
            await until(lambda: peer.h2.local_flow_control_window(1) > 60000)
            nursery.cancel_scope.cancel()
        slow.close()


@run_trio
async def test_a_body_waits_for_the_hosts_window() -> None:
    server = H2Server(window=10, holds=True)
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        stream = await rig.cluster.open_stream()
        await stream.send_request(b"POST", b"/", b"h", Headers(), end_stream=False)
        await until(lambda: server.peers and server.peers[0].asked)
        sent = False

        async def send() -> None:
            nonlocal sent
            await stream.send_data(b"x" * 25)
            sent = True
            await stream.send_end()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            assert not sent
            peer = server.peers[0]
            peer.h2.increment_flow_control_window(100, 1)
            await peer.flush()
        await peer.answer(1)
        assert await rig.finish(stream) == b"ok"


# --- time -------------------------------------------------------------------------------------------------------------


@with_clock
async def test_idle_connections_and_old_ones(clock: MockClock) -> None:
    server = H2Server()
    async with (
        origin(server.serve) as host,
        H2Rig(host.address, idle_timeout=10.0, max_connection_duration=15.0) as rig,
    ):

        async def look() -> None:
            rig.cluster.reap(trio.current_time())
            await wait_all_tasks_blocked(0.01)

        assert await rig.get() == b"ok"
        clock.jump(9.0)
        await look()
        assert rig.stat("cx_active") == 1
        clock.jump(1.0)
        await look()
        assert [rig.stat("cx_active"), rig.stat("cx_idle_timeout")] == [0, 1]
        server.holds = True
        stream = await rig.begin()
        clock.jump(15.0)
        await look()
        assert [rig.stat("cx_active"), rig.stat("cx_max_duration_reached")] == [1, 1]
        await server.peers[1].answer(1)
        assert await rig.finish(stream) == b"ok"
        await wait_all_tasks_blocked(0.01)
        assert rig.stat("cx_active") == 0


@with_clock
async def test_a_silent_host_is_asked_whether_it_is_there(clock: MockClock) -> None:
    server = H2Server(holds=True)
    keepalive = Keepalive(interval=5.0, timeout=2.0, jitter=0.0)
    async with origin(server.serve) as host, H2Rig(host.address, http2={"keepalive": keepalive}) as rig:
        stream = await rig.begin()
        await wait_all_tasks_blocked(0.01)
        for _ in range(3):
            clock.jump(5.0)
            await wait_all_tasks_blocked(0.01)
        pings = [event for event in server.peers[0].events if type(event).__name__ == "PingReceived"]
        assert len(pings) == 3, "each was answered"
        assert rig.stat("cx_active") == 1
        server.peers[0].stream.socket.shutdown(1)  # it answers nothing any more
        with pytest.raises(ProxyError, match="connection_termination"):
            await rig.finish(stream)


@with_clock
async def test_a_host_that_does_not_answer_a_ping_is_gone(clock: MockClock) -> None:
    async def mute(stream: trio.SocketStream) -> None:
        await stream.send_all(b"\0\0\0\x04\0\0\0\0\0")
        await trio.sleep_forever()

    keepalive = Keepalive(interval=5.0, timeout=2.0, jitter=0.0)
    async with origin(mute) as host, H2Rig(host.address, http2={"keepalive": keepalive}) as rig:
        stream = await rig.begin()
        await wait_all_tasks_blocked(0.01)
        clock.jump(5.0)
        await wait_all_tasks_blocked(0.01)
        assert rig.http2("keepalive_timeout") == 0
        clock.jump(2.0)
        with pytest.raises(ProxyError, match="connection_termination"):
            await rig.finish(stream)
        assert rig.http2("keepalive_timeout") == 1
        await wait_all_tasks_blocked(0.01)
        assert [rig.stat("cx_destroy_local_with_active_rq"), rig.stat("cx_active")] == [1, 0]


# --- hosts that leave -------------------------------------------------------------------------------------------------


@run_trio
async def test_a_cluster_that_retires() -> None:
    server = H2Server(holds=True)
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        stream = await rig.begin()
        await until(lambda: server.peers and server.peers[0].asked)
        rig.cluster.retire()
        server.holds = False
        assert await rig.get() == b"ok", "what knows it may finish"
        await until(lambda: rig.stat("cx_active") == 1)
        assert len(server.peers) == 2
        await server.peers[0].answer(1)
        assert await rig.finish(stream) == b"ok"
        await until(lambda: rig.stat("cx_active") == 0)
        rig.cluster.reap(trio.current_time())
        assert not rig.cluster.draining
    assert rig.in_use() == {}


@run_trio
async def test_a_cluster_lives_as_long_as_its_connections() -> None:
    """Its rows of the shared tables, which they write, are given to another one when it is gone."""
    server = H2Server(holds=True)
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        stream = await rig.begin()
        await until(lambda: server.peers and server.peers[0].asked)
        cluster = weakref.ref(rig.cluster)
        rig.cluster.retire()
        del rig.cluster
        assert cluster() is not None
        await server.peers[0].answer(1)
        assert await rig.finish(stream) == b"ok"
        await until(lambda: rig.stat("cx_active") == 0)
        await wait_all_tasks_blocked()
        assert cluster() is None
    assert rig.in_use() == {}


@run_trio
async def test_a_connection_that_comes_too_late_for_a_cluster_that_retires() -> None:
    server = H2Server()
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        with trio.CancelScope() as scope:
            scope.cancel()
            await rig.get()
        rig.cluster.retire()
        await until(lambda: rig.stat("cx_total") == 1 and rig.stat("cx_active") == 0)
    assert rig.in_use() == {}


@run_trio
async def test_a_host_that_takes_no_streams_for_now() -> None:
    """Requests wait; to open one connection after the other would change nothing."""
    server = H2Server(max_streams=0)
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        with trio.CancelScope() as scope:  # which opens the connection, and is gone before the host says so
            scope.cancel()
            await rig.get()
        await until(lambda: rig.cluster.pick()._connections[0].takes_none)  # type: ignore[union-attr]
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(rig.get)
            await wait_all_tasks_blocked()
            assert [rig.stat("rq_pending_active"), rig.stat("cx_total")] == [3, 1]
            (peer,) = server.peers
            peer.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 10})
            await peer.flush()
        assert [rig.stat("rq_200"), rig.stat("cx_total")] == [3, 1]


@run_trio
async def test_a_connection_that_has_run_out_of_streams() -> None:
    server = H2Server()
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        stream = await rig.begin()
        stream._connection.codec._highest = 2**31 - 1  # type: ignore[attr-defined]
        assert await rig.finish(stream) == b"ok"
        assert await rig.get() == b"ok"
        assert [rig.stat("cx_total"), len(server.peers)] == [2, 2]
        await until(lambda: rig.stat("cx_active") == 1)
