"""The express lane hands over what it cannot end: each way out, in the middle of an exchange, seen from both sides."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio

from proxy.filters import express_watch
from proxy.filters.express_watch import HAND_OVER_AFTER
from proxy.limits import EXPRESS_RESPONSE, READ_SIZE
from proxy.net.connection import Connection
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import GET, Client, Rig, compiled, route, serving, until
from tests.unit.upstream.rig import OK, answering, origin, read_head

CHUNKED = b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

Serve = Callable[[trio.SocketStream], Awaitable[None]]


@contextlib.asynccontextmanager
async def in_lane(serve: Serve, **options: Any) -> AsyncIterator[tuple[Rig, Client]]:
    """A client whose next request goes through the lane; `serve` is the origin from then on."""

    async def warm(stream: trio.SocketStream) -> None:
        if await read_head(stream):
            await stream.send_all(OK)
            await serve(stream)

    async with origin(warm) as upstream, serving(compiled(upstream.address, **options)) as rig:
        client = await rig.connect()
        await client.send(GET)
        assert (await client.response())[1] == b"ok"
        yield rig, client


def quiet_but_for_connections(rig: Rig) -> bool:
    return not any(name.endswith("rq_active") for name in rig.gauges())


@run_trio
async def test_a_slow_answer_is_waited_for_by_the_general_path() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await trio.sleep(2.5 * HAND_OVER_AFTER)
        await stream.send_all(OK)

    async with in_lane(serve) as (rig, client):
        await client.send(GET)
        assert (await client.response())[1] == b"ok"
        await until(lambda: quiet_but_for_connections(rig))
        assert rig.value("downstream_rq_2xx") == rig.value("downstream_rq_http1_total") == 2
        assert rig.stats.value("cluster.origin.upstream_rq_total") == 2


@run_trio
async def test_the_route_s_timeout_runs_from_when_the_lane_sent_the_request() -> None:
    began = ended = 0.0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal began, ended
        await read_head(stream)
        began = trio.current_time()
        assert await stream.receive_some(1) == b""
        ended = trio.current_time()

    async with in_lane(serve, routes=[route(timeout=1.0)]) as (rig, client):
        await client.send(GET)
        head, _ = await client.response()
        assert head.startswith(b"HTTP/1.1 504 ")
        assert rig.stats.value("cluster.origin.upstream_rq_timeout") == 1
        await until(lambda: ended > 0)
        assert ended - began >= 0.9  # not sooner; how much later is the machine's


@run_trio
async def test_a_long_answer_is_streamed() -> None:
    body = bytes(range(256)) * 8 * 1024

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async with in_lane(serve) as (_, client):
        await client.send(GET)
        assert (await client.response())[1] == body


@run_trio
@pytest.mark.parametrize("size", [READ_SIZE, 3 * READ_SIZE, EXPRESS_RESPONSE - 1000])
async def test_an_answer_of_several_reads_needs_no_second_event(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size))

    monkeypatch.setattr(express_watch, "HAND_OVER_AFTER", 1000.0)  # nobody helps out
    async with in_lane(serve) as (_, client):
        with trio.fail_after(20):
            for _ in range(3):
                await client.send(GET)
                assert (await client.response())[1] == bytes(size)


@run_trio
async def test_a_known_head_with_a_longer_path_meets_the_limit() -> None:
    async with in_lane(answering(OK), max_request_headers_kb=1) as (_, client):
        await client.send(GET.replace(b"/ ", b"/%b " % (b"x" * 1024)))
        assert (await client.response())[0].startswith(b"HTTP/1.1 431 ")


@run_trio
async def test_ids_that_vary_are_the_request_s_own_and_one_plan_serves_them_all() -> None:
    heads: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            heads.append(head)
            await stream.send_all(OK)

    def request(number: int) -> bytes:
        ids = b"Traceparent: 00-%032x-01\r\nx-request-id: %d%%\r\n" % (number, number)
        return b"GET /%d HTTP/1.1\r\nhost: test\r\n%baccept: */*\r\n\r\n" % (number, ids)

    async with in_lane(serve) as (rig, client):
        for number in range(20):
            await client.send(request(number))
            await client.response()
        (listener,) = rig.server._snapshot.listeners.values()
        plans = listener._chains[0]._begin.__self__.plans
        assert len(plans._plans) == 2
    for number, head in enumerate(heads):
        assert head.startswith(b"GET /%d HTTP/1.1\r\n" % number)
        assert b"\r\ntraceparent: 00-%032x-01\r\n" % number in head
        assert b"\r\nx-request-id: %d%%\r\n" % number in head


@run_trio
async def test_an_idle_connection_has_no_task() -> None:
    async with in_lane(answering(OK)) as (rig, _):

        def tasks() -> int:
            return trio.lowlevel.current_statistics().tasks_living

        before = tasks()
        clients = [await rig.connect() for _ in range(20)]
        for client in clients:  # one after the other: they share one connection to the origin
            await client.send(GET)
            assert (await client.response())[1] == b"ok"
            await client.send(CHUNKED)  # for which a task comes, and goes
            assert (await client.response())[1] == b"ok"
        await until(lambda: tasks() <= before)
        assert rig.server.connections == 21
        for client in clients:
            await client.send(GET)
            assert (await client.response())[1] == b"ok"


@run_trio
async def test_an_answer_in_many_small_pieces() -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n" + b"z" * 40

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        for at in range(len(whole)):
            await stream.send_all(whole[at : at + 1])
            await trio.lowlevel.checkpoint()

    async with in_lane(serve) as (_, client):
        await client.send(GET)
        assert (await client.response())[1] == b"z" * 40


@run_trio
async def test_a_client_that_takes_a_part_of_an_answer_gets_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd")

    send_now = Connection.send_now  # below with a full buffer
    monkeypatch.setattr(Connection, "send_now", lambda self, head, body: send_now(self, head[:30], body[:0]))
    async with in_lane(serve) as (rig, client):
        for _ in range(3):
            await client.send(GET)
            head, body = await client.response()
            assert head.count(b"HTTP/1.1 200 OK") == head.count(b"content-length: 4") == 1
            assert body == b"abcd"
        await until(lambda: quiet_but_for_connections(rig))
        assert rig.value("downstream_rq_2xx") == 4


@run_trio
async def test_a_client_that_leaves_within_an_exchange() -> None:
    asked = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        asked.set()
        await stream.receive_some(1)

    async with in_lane(serve) as (rig, client):
        await client.send(GET)
        await asked.wait()
        await trio.aclose_forcefully(client.stream)
        await rig.quiet()
        assert rig.gauges() == {}
        assert rig.value("downstream_rq_rx_reset") == 1
        assert rig.records[-1].flags == "DC"


@run_trio
async def test_an_upstream_that_leaves_within_an_exchange() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)

    async with in_lane(serve) as (rig, client):
        await client.send(GET)
        head, _ = await client.response()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert rig.records[-1].flags == "UC"
        assert rig.records[-1].attempts_total == 1
        await until(lambda: quiet_but_for_connections(rig))


@run_trio
async def test_a_cancelled_server_ends_an_exchange_in_the_lane() -> None:
    asked = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        asked.set()
        await stream.receive_some(1)

    async with in_lane(serve) as (rig, client):
        await client.send(GET)
        await asked.wait()
        await rig.stop()
        assert rig.gauges() == {}
        assert not any(rig.tables.clusters._words.values())


@run_trio
async def test_a_drain_within_an_exchange_closes_with_its_answer() -> None:
    asked, go_on = trio.Event(), trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        asked.set()
        await go_on.wait()
        await stream.send_all(OK)

    async with in_lane(serve) as (rig, client):
        await client.send(GET)
        await asked.wait()
        rig.server.start_drain()
        go_on.set()
        head, body = await client.response()
        assert b"\r\nconnection: close\r\n" in head
        assert body == b"ok"


@run_trio
async def test_the_idle_timeout_counts_from_the_last_exchange() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(OK)

    async with in_lane(serve, idle_timeout=1.0) as (rig, client):
        for _ in range(3):
            await trio.sleep(0.5)
            await client.send(GET)
            assert (await client.response())[1] == b"ok"
        assert await client.rest() == b""
        assert rig.value("downstream_cx_idle_timeout") == 1


@run_trio
async def test_requests_in_one_packet_are_answered_in_order() -> None:
    count = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal count
        while await read_head(stream):
            count += 1
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d" % count)

    async with in_lane(serve) as (_, client):
        await client.send(GET + GET.replace(b"/ ", b"/2 ") + GET)
        assert [(await client.response())[1] for _ in range(3)] == [b"1", b"2", b"3"]


@run_trio
async def test_a_bug_in_the_lane_ends_its_connection_and_no_other() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(OK)

    async with in_lane(serve) as (rig, client):
        receive = Connection.receive_now
        calls = 0

        def broken(self: Connection) -> bytes | None:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise RuntimeError("a bug")
            return receive(self)

        Connection.receive_now = broken  # type: ignore[method-assign]
        try:
            await client.send(GET)
            assert await client.rest() == b""
        finally:
            Connection.receive_now = receive  # type: ignore[method-assign]
        other = await rig.connect()
        await other.send(GET)
        assert (await other.response())[1] == b"ok"
