"""Who may not leave HTTP is refused on its stream of HTTP/2, and on no other."""

from __future__ import annotations

import h2.events
import pytest
import trio

from proxy.config.forwarding import RouteUpgrade
from proxy.config.http2 import Http2Options
from proxy.filters.network.hcm_config import Upgrade
from tests.integration.test_fields import virtual
from tests.unit.proxy.filters.network.test_hcm_upgrades import to_origin
from tests.unit.proxy.h2_rig import POST, connect
from tests.unit.proxy.rig import compiled, route, serving
from tests.unit.upstream.rig import OK, answering, origin, read_head

CONNECT = [(":method", "CONNECT"), (":authority", "far:80")]
WEBSOCKET = [
    (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "test"), (":path", "/ws"),
]  # fmt: skip
OFFERED = Http2Options(allow_connect=True)


@pytest.mark.parametrize(
    ("request_head", "upgrades", "on_route", "detail"),
    [
        (CONNECT, (), (), "upgrade_failed"),
        (CONNECT, (Upgrade("connect", enabled=False),), (), "upgrade_failed"),
        (CONNECT, (Upgrade("connect"),), (RouteUpgrade("connect", enabled=False),), "upgrade_failed"),
        (WEBSOCKET, (), (), "upgrade_failed"),
        (WEBSOCKET, (Upgrade("other"),), (), "upgrade_failed"),
        (WEBSOCKET, (Upgrade("websocket"),), (RouteUpgrade("websocket", enabled=False),), "upgrade_failed"),
    ],
)
@virtual
async def test_the_stream_is_refused_and_no_other(
    request_head: list[tuple[str, str]], upgrades: tuple[Upgrade, ...], on_route: tuple[RouteUpgrade, ...], detail: str
) -> None:
    """A request that is half sent before, and one after, have their answers on the same connection."""
    match = "connect" if request_head is CONNECT else "prefix"
    routes = (to_origin(*on_route, match=match), route("/"))
    async with (
        origin(answering(OK)) as upstream,
        serving(compiled(upstream.address, routes=routes, upgrades=upgrades, http2=OFFERED)) as rig,
    ):
        peer = await connect(rig)
        beside = await peer.begin(POST, end=False)
        stream = await peer.begin(request_head, end=False)
        peer.h2.send_data(stream, b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n")
        await peer.flush()
        head = await peer.until(h2.events.ResponseReceived, stream)
        assert dict(head.headers)[":status"] == "403"
        assert (rig.records[-1].detail, rig.records[-1].protocol) == (detail, "HTTP/2")
        assert (await peer.until(h2.events.StreamReset, stream)).error_code == 0
        peer.h2.send_data(beside, b"body", end_stream=True)
        await peer.flush()
        assert dict((await peer.until(h2.events.ResponseReceived, beside)).headers)[":status"] == "200"
        assert (await peer.get())[":status"] == "200"
        assert rig.stats.value("cluster.origin.upstream_rq_total") == 2
        assert rig.value("downstream_cx_upgrades_total") == 0
        assert not peer.closed


@virtual
async def test_a_connect_without_a_route() -> None:
    async with (
        origin(answering(OK)) as upstream,
        serving(compiled(upstream.address, routes=(route("/"),), upgrades=(Upgrade("connect"),))) as rig,
    ):
        peer = await connect(rig)
        stream = await peer.begin(CONNECT, end=False)
        head = await peer.until(h2.events.ResponseReceived, stream)
        assert dict(head.headers)[":status"] == "404"
        assert (await peer.get())[":status"] == "200"


@virtual
async def test_an_upgrade_to_connect_is_no_connect() -> None:
    """Its host hears of it, whatever the route says of CONNECT, and nothing ends here."""
    routes = (to_origin(RouteUpgrade("connect", terminates=True)),)
    heads: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        heads.append(await read_head(stream))
        await stream.send_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

    async with origin(serve) as upstream, serving(compiled(upstream.address, routes=routes, http2=OFFERED)) as rig:
        peer = await connect(rig)
        stream = await peer.begin([WEBSOCKET[0], (":protocol", "connect"), *WEBSOCKET[2:]], end=False)
        head = await peer.until(h2.events.ResponseReceived, stream)
        assert dict(head.headers)[":status"] == "403"
    assert heads[0].startswith(b"GET /ws HTTP/1.1\r\n")
