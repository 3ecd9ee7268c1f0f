"""The server end to end on real sockets: keep-alive, pipelining, bodies, drain, and what is left when it ends."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.server import Server
from proxy.stats import MemoryStats
from proxy.upstream.tables import MemoryTables
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import GET, compiled, route, serving, until
from tests.unit.upstream.rig import OK, answering, origin, read_head, silent


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
        rig.start_drain()
        await client.send(GET)
        assert b"\r\nconnection: close\r\n" in await client.rest()
        client.stream.socket.close()
        await rig.stopped.wait()
        assert rig.value("downstream_cx_drain_close") == 1


@run_trio
async def test_who_waits_in_the_queue_when_a_drain_begins_is_served_before_the_server_ends() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        late = await rig.connect()
        await late.send(GET)
        rig.server.start_drain()  # nobody has been accepted yet, and the socket is still open
        assert b"\r\nconnection: close\r\n" in await late.rest()
        assert not rig.stopped.is_set()
        rig.accepting.cancel()
        await rig.stopped.wait()


@run_trio
async def test_a_listener_drains_alone_and_the_drain_is_taken_back() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        rig.server.drain_listeners({"l": {"elapsed": 300.0, "seconds": 600.0, "immediate": False}})
        assert b"\r\nconnection: close\r\n" in await rig.ask()
        assert rig.value("downstream_cx_drain_close") == 1
        rig.server.drain_listeners({})
        client = await rig.connect()
        for _ in range(2):
            await client.send(GET)
            assert b"connection" not in (await client.response())[0]


@run_trio
async def test_a_drain_is_counted_once_per_connection_also_if_the_client_wants_to_leave() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        rig.server.drain_listeners({"l": {"elapsed": 0.0, "seconds": 600.0, "immediate": True}})
        await rig.ask(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert rig.value("downstream_cx_drain_close") == 1


@run_trio
async def test_a_drain_of_the_whole_server_is_not_taken_back_by_an_older_order() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(GET)
        await client.response()
        rig.start_drain()
        rig.server.drain_listeners({})
        await client.send(GET)
        assert b"\r\nconnection: close\r\n" in await client.rest()


@run_trio
async def test_close_idle_closes_waiting_connections_but_not_those_with_a_request_in_hand() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address)) as rig:
        idle, busy = await rig.connect(), await rig.connect()
        await busy.send(GET)
        await until(lambda: rig.server.requests_active == 1 and rig.server.connections == 2)
        rig.start_drain()
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


@run_trio
async def test_close_idle_serves_a_request_that_has_just_come() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        client = await rig.connect()
        await client.send(GET)
        await client.response()
        rig.start_drain()
        client.stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert await client.stream.socket.send(GET) == len(GET)
        rig.server.close_idle()  # before the server has looked at its sockets again
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nconnection: close\r\n" in answer


@run_trio
async def test_a_unix_socket_listener(tmp_path: Path) -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(tmp_path / "s"))
            sock.listen()
            sock.setblocking(False)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(rig.server.accept, "l", 0, sock)
                async with await trio.open_unix_socket(tmp_path / "s") as client:
                    await client.send_all(GET)
                    assert (await client.receive_some()).startswith(b"HTTP/1.1 200 OK\r\n")
                nursery.cancel_scope.cancel()


@run_trio
async def test_updated_endpoints_are_used_by_the_next_request_of_an_open_connection() -> None:
    other = OK.replace(b"ok", b"2!")
    one, two = origin(answering(OK)), origin(answering(other))
    async with one as first, two as second, serving(compiled(first.address)) as rig:
        client = await rig.connect()
        await client.send(GET)
        assert (await client.response())[1] == b"ok"
        rig.server.update_endpoints(compiled(second.address).endpoints)
        await client.send(GET)
        assert (await client.response())[1] == b"2!"


BODIES = st.lists(st.binary(min_size=1, max_size=3000), max_size=8)


@settings(max_examples=25, deadline=None)
@given(up=BODIES, down=BODIES, cuts=st.lists(st.integers(1, 900), min_size=1, max_size=20))
def test_bodies_arrive_as_they_were_sent_however_they_are_cut(
    up: list[bytes], down: list[bytes], cuts: list[int]
) -> None:
    got: list[bytes] = []

    def chunked(pieces: list[bytes]) -> bytes:
        return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"

    def unchunked(data: bytes) -> bytes:
        body = b""
        while size := int(data.partition(b"\r\n")[0], 16):
            data = data.partition(b"\r\n")[2]
            body, data = body + data[:size], data[size + 2 :]
        return body

    async def cut(stream: trio.SocketStream, data: bytes) -> None:
        start = 0
        for size in itertools.cycle(cuts):
            await stream.send_all(data[start : start + size])
            start += size
            if start >= len(data):
                return

    async def serve(stream: trio.SocketStream) -> None:
        data = await read_head(stream)
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += await stream.receive_some()
        got.append(unchunked(data.partition(b"\r\n\r\n")[2]))
        await cut(stream, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(down))

    async def check() -> None:
        async with origin(serve) as upstream, serving(compiled(upstream.address)) as rig:
            client = await rig.connect()
            head = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            await cut(client.stream, head + chunked(up))
            answer = await client.rest()
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            got.append(unchunked(answer.partition(b"\r\n\r\n")[2]))

    trio.run(check)
    assert got == [b"".join(up), b"".join(down)]
