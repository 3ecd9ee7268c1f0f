"""A POST whose body becomes TCP (`allow_post`), as a client and a host see it."""

from __future__ import annotations

import functools

import pytest
import trio

from tests.integration.test_fields import ROUTE, asked, proxy, routed, virtual

CONNECT_CONFIG = f"{ROUTE}.RouteAction.UpgradeConfig.ConnectConfig"
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
@pytest.mark.field(f"{CONNECT_CONFIG}.allow_post")
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
@pytest.mark.field(f"{CONNECT_CONFIG}.proxy_protocol_config", "envoy.config.core.v3.ProxyProtocolConfig.version")
async def test_a_proxy_header_goes_before_a_post() -> None:
    action = ACTION.replace("allow_post: true", "allow_post: true, proxy_protocol_config: {version: V2}")
    async with (
        proxy(echoing, route_config=routed('prefix: "/"', action)) as rig,
        await asked(rig, CHUNKED + START + b"0\r\n\r\n") as client,
    ):
        own = client.stream.socket.getsockname()[1]
        found = await client.until(b"\r\n0\r\n\r\n")
        assert b"QUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01%b" % own.to_bytes(2, "big") in found
        assert b"ping" in found


@virtual
async def test_a_proxy_header_goes_before_a_connect() -> None:
    action = ACTION.replace("allow_post: true", "proxy_protocol_config: {}")
    connect = b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\nping"
    async with (
        proxy(echoing, route_config=routed("connect_matcher: {}", action)) as rig,
        await asked(rig, connect) as client,
    ):
        name = client.stream.socket
        ports = name.getsockname()[1], name.getpeername()[1]
        assert (await client.until(b"ping")).endswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\nping" % ports)


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
