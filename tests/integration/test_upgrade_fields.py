"""The fields about upgrades, CONNECT and 1xx, as an upstream and a client see them."""

from __future__ import annotations

import h2.events
import pytest
import trio

from tests.integration.test_fields import HCM, ROUTE, asked, proxy, request, routed, virtual
from tests.kit.config import ROUTE_CONFIG, findings
from tests.kit.config import bootstrap as text_of
from tests.unit.proxy.h2_rig import connect

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
ASK = request("connection: upgrade", "upgrade: websocket")
ACTIVE = "http.in.downstream_cx_upgrades_active"
CONNECT = b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n"
EXTENDED = [
    (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a"), (":path", "/"),
    ("sec-websocket-key", "its own"),
]  # fmt: skip
TERMINATE = "cluster: origin, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]"
OWN_FILTER = """
upgrade_configs:
- upgrade_type: websocket
  filters:
  - name: edit
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
      mutations: {response_mutations: [{append: {header: {key: x-own, value: "yes"}}}]}
  - name: router
    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"""


async def switching(stream: trio.SocketStream) -> None:
    """Takes an upgrade and gives back what comes then."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += await stream.receive_some()
    await stream.send_all(SWITCHED)
    async for data in stream:
        await stream.send_all(data)


async def echoing(stream: trio.SocketStream) -> None:
    """A TCP server."""
    async for data in stream:
        await stream.send_all(data)


async def answer(data: bytes, *, hcm: str = "", route_config: str = ROUTE_CONFIG) -> bytes:
    """The head that answers `data`."""
    async with proxy(switching, hcm=hcm, route_config=route_config) as rig, await asked(rig, data) as client:
        return await client.until(b"\r\n\r\n")


@virtual
@pytest.mark.field(f"{HCM}.upgrade_configs", f"{HCM}.UpgradeConfig.upgrade_type")
async def test_the_connection_manager_allows_an_upgrade() -> None:
    hcm = "upgrade_configs: [{upgrade_type: WebSocket}]"
    async with proxy(switching, hcm=hcm) as rig, await asked(rig, ASK + b"early") as client:
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await client.send(b"-late")
        assert await client.until(b"late") == b"early-late"
        assert rig.stats.value(ACTIVE) == 1
    assert rig.stats.value(ACTIVE) == 0


@virtual
@pytest.mark.field("envoy.config.core.v3.Http2ProtocolOptions.allow_connect", f"{HCM}.http2_protocol_options")
async def test_the_connection_manager_offers_upgrades_over_http2() -> None:
    hcm = "upgrade_configs: [{upgrade_type: websocket}]\nhttp2_protocol_options: {allow_connect: true}"
    async with proxy(switching, hcm=hcm) as rig:
        peer = await connect(rig)
        stream = await peer.begin(EXTENDED, end=False)
        assert dict((await peer.until(h2.events.ResponseReceived, stream)).headers)[":status"] == "200"
        peer.h2.send_data(stream, b"ping")
        await peer.flush()
        assert (await peer.until(h2.events.DataReceived, stream)).data == b"ping"


@virtual
@pytest.mark.field(f"{HCM}.UpgradeConfig.enabled")
async def test_the_connection_manager_forbids_it() -> None:
    found = await answer(ASK, hcm="upgrade_configs: [{upgrade_type: websocket, enabled: false}]")
    assert found.startswith(b"HTTP/1.1 403 ")


@virtual
@pytest.mark.field(f"{HCM}.UpgradeConfig.filters")
async def test_filters_of_its_own() -> None:
    assert b"\r\nx-own: yes\r\n" in await answer(ASK, hcm=OWN_FILTER)


@virtual
@pytest.mark.field(
    f"{ROUTE}.RouteAction.upgrade_configs",
    f"{ROUTE}.RouteAction.UpgradeConfig.upgrade_type",
)
async def test_a_route_allows_an_upgrade() -> None:
    route = routed('prefix: "/"', "cluster: origin, upgrade_configs: [{upgrade_type: websocket}]")
    assert (await answer(ASK, route_config=route)).startswith(b"HTTP/1.1 101 ")


@virtual
@pytest.mark.field(f"{ROUTE}.RouteAction.UpgradeConfig.enabled")
async def test_a_route_forbids_it() -> None:
    route = routed('prefix: "/"', "cluster: origin, upgrade_configs: [{upgrade_type: websocket, enabled: false}]")
    found = await answer(ASK, hcm="upgrade_configs: [{upgrade_type: websocket}]", route_config=route)
    assert found.startswith(b"HTTP/1.1 403 ")


@virtual
@pytest.mark.field(f"{ROUTE}.RouteMatch.connect_matcher", f"{ROUTE}.RouteAction.UpgradeConfig.connect_config")
async def test_connect_that_ends_here() -> None:
    route = routed("connect_matcher: {}", TERMINATE)
    async with proxy(echoing, route_config=route) as rig, await asked(rig, CONNECT) as client:
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        await client.send(b"ping")
        assert await client.until(b"ping") == b"ping"


@virtual
@pytest.mark.field(f"{HCM}.proxy_100_continue")
async def test_informational_responses() -> None:
    async def hinting(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\nconnection: close\r\n\r\n")
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with proxy(hinting, hcm="proxy_100_continue: true") as rig, await asked(rig) as client:
        head = await client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 103 ")
        assert b"\r\nlink: x\r\n" in head
        assert b"connection" not in head
        assert (await client.response())[0].startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("hcm", "action", "text"),
    [
        ("upgrade_configs: [{upgrade_type: a}, {upgrade_type: A}]", "", "stands here twice"),
        ("", ", upgrade_configs: [{upgrade_type: a}, {upgrade_type: A}]", "stands here twice"),
        ("", ", upgrade_configs: [{upgrade_type: a, connect_config: {}}]", "is not CONNECT"),
        (
            "",
            ", upgrade_configs: [{upgrade_type: CONNECT,"
            " connect_config: {proxy_protocol_config: {pass_through_tlvs: {match_type: INCLUDE_ALL}}}}]",
            "pass_through_tlvs is not supported",
        ),
    ],
)
def test_what_cannot_be(hcm: str, action: str, text: str) -> None:
    found = findings(text_of(hcm=hcm, route_config=routed('prefix: "/"', f"cluster: origin{action}")))
    assert text in str(found)
