"""A POST whose body becomes TCP (`allow_post`), as a client and a host see it."""

from __future__ import annotations

import functools

import pytest
import trio

from tests.integration.test_fields import ROUTE, asked, proxy, routed, virtual

ALLOW_POST = f"{ROUTE}.RouteAction.UpgradeConfig.ConnectConfig.allow_post"
ACTION = "cluster: origin, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {allow_post: true}}]"
CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
START = b"4\r\nping\r\n"
rig_of = functools.partial(proxy, route_config=routed('prefix: "/"', ACTION))


async def echoing(stream: trio.SocketStream) -> None:
    """Gives back what comes, and has a last word."""
    async for data in stream:
        await stream.send_all(data)
    await stream.send_all(b"-bye")


@virtual
@pytest.mark.field(ALLOW_POST)
async def test_bytes_both_ways() -> None:
    async with rig_of(echoing) as rig, await asked(rig, CHUNKED) as client:
        head = await client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\ntransfer-encoding: chunked\r\n" in head
        await client.send(START)
        assert await client.until(b"ping\r\n") == START
        await client.send(b"0\r\n\r\n")
        assert await client.rest() == b"4\r\n-bye\r\n0\r\n\r\n"
        assert rig.stats.value("cluster.origin.upstream_cx_rx_bytes_total") == 8
        assert rig.stats.value("cluster.origin.upstream_cx_tx_bytes_total") == 4


@virtual
async def test_the_connection_stays_if_the_request_was_whole() -> None:
    async with rig_of(echoing) as rig:
        client = await rig.connect()
        for _ in range(2):
            await client.send(CHUNKED + START + b"0\r\n\r\n")
            assert b"ping" in await client.until(b"\r\n0\r\n\r\n")


@virtual
async def test_a_client_that_is_asked_to_go_on() -> None:
    head = CHUNKED.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n")
    async with rig_of(echoing) as rig, await asked(rig, head) as client:
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")


@virtual
async def test_a_host_that_breaks_off_leaves_no_end_of_the_response() -> None:
    async def broken(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        stream.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with rig_of(broken) as rig, await asked(rig, CHUNKED) as client:
        await client.until(b"\r\n\r\n")
        await client.send(START)
        assert await client.rest() == b""
        assert rig.stats.value("cluster.origin.upstream_cx_destroy_remote_with_active_rq") == 1
