"""The server end to end on real sockets: keep-alive, pipelining, bodies, drain, and what is left when it ends."""

from __future__ import annotations

import socket

import trio

from proxy.server import Server
from proxy.stats import MemoryStats
from proxy.upstream.tables import MemoryTables
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import GET, compiled, route, serving, until
from tests.unit.upstream.rig import OK, answering, origin, silent


@run_trio
async def test_requests_on_one_connection_reach_the_origin_one_after_the_other() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        async with await rig.connect() as client:
            for _ in range(3):
                await client.send(GET)
                head, body = await client.response()
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                assert body == b"ok"
            assert rig.server.connections == 1
            assert rig.server.requests_active == 0
        await rig.quiet()
        assert upstream.accepted == 1
        assert rig.value("downstream_rq_http1_total") == 3
        assert rig.value("downstream_rq_2xx") == rig.stats.value("listener.127.0.0.1_0.http.in.downstream_rq_2xx") == 3
        assert rig.value("downstream_cx_total") == rig.value("downstream_cx_destroy_remote") == 1
        assert rig.stats.value("listener.127.0.0.1_0.worker_0.downstream_cx_total") == 1
        assert rig.value("downstream_cx_rx_bytes_total") == 3 * len(GET)


@run_trio
async def test_pipelined_requests_are_answered_in_order() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        last = b"GET /3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        answer = await rig.ask(GET + b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n" + last)
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert answer.count(b"connection: close") == 1


@run_trio
async def test_drain_ends_each_connection_with_its_next_response_and_then_the_server() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(GET)
        await client.response()
        rig.server.start_drain()
        await client.send(GET)
        assert b"\r\nconnection: close\r\n" in await client.rest()
        client.stream.socket.close()
        await rig.stopped.wait()
        assert rig.value("downstream_cx_drain_close") == 1


@run_trio
async def test_close_idle_closes_waiting_connections_but_not_those_with_a_request_in_hand() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address)) as rig:
        idle, busy = await rig.connect(), await rig.connect()
        await busy.send(GET)
        await until(lambda: rig.server.requests_active == 1 and rig.server.connections == 2)
        rig.server.start_drain()
        rig.server.close_idle()
        assert await idle.rest() == b""
        assert rig.server.connections == 1
        assert rig.server.requests_active == 1


@run_trio
async def test_run_returns_when_the_last_connection_is_gone() -> None:
    async with origin(answering(OK)) as upstream:
        config = compiled(upstream.address)

        server = Server(config, config.endpoints, MemoryStats(), MemoryTables(), worker_index=0)
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: server.run(task_status=task_status))
            server.start_drain()  # no connection: `run`, and so this block, ends


@run_trio
async def test_cancelling_accept_leaves_connections_alone() -> None:
    async with origin(answering(OK)) as upstream:
        config = compiled(upstream.address)
        async with serving(config) as rig:
            client = await rig.connect()
            await client.send(GET)
            await client.response()
            with trio.CancelScope() as scope, socket.socket() as other:
                other.bind(("127.0.0.1", 0))
                other.listen()
                other.setblocking(False)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(rig.server.accept, "l", 0, other)
                    second = await rig.connect(port=other.getsockname()[1])
                    await second.send(GET)
                    assert (await second.response())[1] == b"ok"
                    scope.cancel()
            for survivor in (second, client):
                await survivor.send(GET)
                assert (await survivor.response())[1] == b"ok"


@run_trio
async def test_no_route_is_404_with_an_empty_body() -> None:
    async with serving(compiled(None, routes=[route("/only")])) as rig:
        async with await rig.connect() as client:
            await client.send(GET)
            head, body = await client.response()
        assert head.startswith(b"HTTP/1.1 404 Not Found\r\n")
        assert b"connection" not in head
        assert body == b""
        await rig.quiet()
        assert rig.value("no_route") == rig.value("rq_total") == rig.value("downstream_rq_4xx") == 1


@run_trio
async def test_nothing_is_left_when_the_server_is_cancelled_under_load() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address)) as rig:
        clients = [await rig.connect() for _ in range(5)]
        for client in clients[:3]:
            await client.send(GET)
        await until(lambda: rig.server.requests_active == 3 and rig.server.connections == 5)
        await rig.stop()
        assert rig.gauges() == {}
        assert rig.server.connections == rig.server.requests_active == 0
        for client in clients:
            assert await client.rest() == b""
