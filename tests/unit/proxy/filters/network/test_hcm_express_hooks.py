"""What the lane of hooks hands over has had its hooks: each runs once, wherever the exchange ends."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import trio

from proxy.config.header_mutation import Mutation
from proxy.filters.express_watch import HAND_OVER_AFTER
from proxy.filters.http.dynamic_modules import ModuleConfig
from proxy.filters.http.header_mutation import HeaderMutation
from proxy.filters.network.hcm_express_hooks import HookedLane
from proxy.net.connection import Connection
from proxy.python_filter import Exchange, Filter, ResponseHead, local_reply
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.network.test_hcm_express import Serve, in_lane
from tests.unit.proxy.rig import GET, Client, Rig, compiled, plugin, serving, until
from tests.unit.upstream.rig import OK, answering, origin, read_head

HEADER_MUTATION = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
MODULE = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"

seen: Counter[str] = Counter()


class Counting(Filter):
    """Edits that would show if they were made twice."""

    def on_request_headers(self, exchange: Exchange) -> None:
        seen["request"] += 1
        exchange.request.headers.add(b"x-hook", b"%d" % seen["request"])
        if exchange.request.path == b"/denied":
            raise local_reply(403, "no\n", detail="denied")

    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None:
        seen["response"] += 1
        head.headers.add(b"x-hook", b"%d" % seen["response"])


HOOKS = [plugin("counting", MODULE, ModuleConfig(__name__, "Counting"))]


@contextlib.asynccontextmanager
async def hooked(serve: Serve, **options: object) -> AsyncIterator[tuple[Rig, Client]]:
    seen.clear()
    async with in_lane(serve, filters=HOOKS, **options) as found:
        assert seen == {"request": 1, "response": 1}  # of the request that opened a connection
        yield found


async def second(client: Client, request: bytes = GET) -> bytes:
    """The head of the second answer, whose hooks ran once, as had those of the first."""
    await client.send(request)
    head, _ = await client.response()
    assert seen == {"request": 2, "response": 2}
    assert head.count(b"\r\nx-hook: ") == head.count(b"\r\nx-hook: 2\r\n") == 1
    return head


@run_trio
async def test_a_plain_exchange_needs_no_general_path(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            heads.append(head)
            await stream.send_all(OK)

    async with hooked(serve) as (_, client):
        monkeypatch.setattr(HookedLane, "result", lambda self: pytest.fail("handed over"))
        assert (await second(client)).startswith(b"HTTP/1.1 200 ")
        monkeypatch.undo()
    assert heads[0].count(b"\r\nx-hook: ") == heads[0].count(b"\r\nx-hook: 2\r\n") == 1


@run_trio
async def test_mutations_that_vary_are_hooks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            heads.append(head)
            await stream.send_all(OK)

    path = Mutation(b"x-path", "OVERWRITE_IF_EXISTS_OR_ADD", "%REQ(:PATH)%")
    mutation = plugin("m", HEADER_MUTATION, HeaderMutation.Config(request=(path,), response=(path,)))
    async with in_lane(serve, filters=[mutation]) as (_, client):
        monkeypatch.setattr(HookedLane, "result", lambda self: pytest.fail("handed over"))
        for name in (b"/1", b"/2"):
            await client.send(GET.replace(b"/ ", name + b" "))
            head, _ = await client.response()
            assert b"\r\nx-path: %b\r\n" % name in head
            assert b"\r\nx-path: %b\r\n" % name in heads[-1]
        monkeypatch.undo()


@run_trio
async def test_a_slow_answer() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await trio.sleep(2 * HAND_OVER_AFTER)
        await stream.send_all(OK)

    async with hooked(serve) as (rig, client):
        assert (await second(client)).startswith(b"HTTP/1.1 200 ")
        await until(lambda: rig.value("downstream_rq_2xx") == 2)
        assert rig.value("rq_total") == rig.stats.value("cluster.origin.upstream_rq_total") == 2


@run_trio
async def test_a_host_that_leaves() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)

    async with hooked(serve) as (rig, client):
        assert (await second(client)).startswith(b"HTTP/1.1 503 ")
        await until(lambda: bool(rig.records))
        assert (rig.records[-1].flags, rig.records[-1].attempts_total) == ("UC", 1)


@run_trio
async def test_a_client_that_takes_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(OK)

    async with hooked(serve) as (_, client):
        send_now = Connection.send_now
        monkeypatch.setattr(Connection, "send_now", lambda self, head, body: send_now(self, head[:30], body[:0]))
        assert (await second(client)).startswith(b"HTTP/1.1 200 ")


@run_trio
async def test_a_drain_within_the_exchange() -> None:
    asked, go_on = trio.Event(), trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        asked.set()
        await go_on.wait()
        await stream.send_all(OK)

    async with hooked(serve) as (rig, client):

        async def drain() -> None:
            await asked.wait()
            rig.server.start_drain()
            go_on.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            assert b"\r\nconnection: close\r\n" in await second(client)


@run_trio
async def test_an_answer_of_the_filter_s_own() -> None:
    async with hooked(answering(OK)) as (rig, client):
        head = await second(client, GET.replace(b"/ ", b"/denied "))
        assert head.startswith(b"HTTP/1.1 403 ")
        await until(lambda: bool(rig.records))
        assert rig.records[-1].detail == "denied"


@run_trio
async def test_a_client_that_leaves() -> None:
    asked = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        asked.set()
        await stream.receive_some(1)

    async with hooked(serve) as (rig, client):
        await client.send(GET)
        await asked.wait()
        await trio.aclose_forcefully(client.stream)
        await rig.quiet()
        assert rig.gauges() == {}
        assert rig.records[-1].flags == "DC"
        assert seen == {"request": 2, "response": 1}


@run_trio
async def test_a_body_that_came_with_its_head() -> None:
    body = b"x" * 2000
    post = GET.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    seen.clear()
    received = b""

    async def taking(stream: trio.SocketStream) -> None:
        nonlocal received
        for _ in range(2):
            got = b""
            while not got.endswith(body):
                got += await stream.receive_some(65536)
            received = got
            await stream.send_all(OK)

    async with origin(taking) as upstream, serving(compiled(upstream.address, filters=HOOKS)) as rig:
        client = await rig.connect()
        await client.send(post)  # it opens a connection
        await client.response()
        await second(client, post)
    assert received.count(b"\r\nx-hook: 2\r\n") == 1
