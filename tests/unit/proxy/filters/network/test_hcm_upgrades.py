"""Who may leave HTTP: the words of connection manager and route, chains of their own, and what is counted."""

from __future__ import annotations

import pytest
import trio

from proxy.config.forwarding import Forwarding, RouteUpgrade
from proxy.config.route import ClusterAction, Route, RouteMatch
from proxy.filters.network.hcm_config import Upgrade
from tests.integration.test_fields import virtual
from tests.unit.proxy.rig import GET, compiled, router, serving
from tests.unit.upstream.rig import Serve, answering, origin, read_head

KIND = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: %b\r\n\r\n"
CONNECT = b"CONNECT far:80 HTTP/1.1\r\nhost: far:80\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: %b\r\n\r\n"
REFUSED = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"
ON, OFF = Upgrade("chat"), Upgrade("chat", enabled=False)
ROUTE_ON, ROUTE_OFF = RouteUpgrade("chat"), RouteUpgrade("chat", enabled=False)


def switching(kind: bytes) -> Serve:
    return answering(SWITCH % kind)


def to_origin(*upgrades: RouteUpgrade, match: str = "prefix") -> Route:
    path = "/" if match == "prefix" else ""
    return Route(RouteMatch(match, path), ClusterAction("origin", forwarding=Forwarding(upgrades=upgrades)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("manager", "route", "kind", "allowed"),
    [
        ((ON,), (), b"chat", True),
        ((ON,), (), b"CHAT", True),
        ((ON,), (), b"other", False),
        ((ON,), (), b"chat, other", False),
        ((OFF,), (), b"chat", False),
        ((), (), b"chat", False),
        ((), (ROUTE_ON,), b"chat", True),
        ((OFF,), (ROUTE_ON,), b"chat", True),
        ((ON,), (ROUTE_OFF,), b"chat", False),
        ((ON,), (RouteUpgrade("other", enabled=False),), b"chat", True),
    ],
)
@virtual
async def test_a_routes_word_counts_more(
    manager: tuple[Upgrade, ...], route: tuple[RouteUpgrade, ...], kind: bytes, allowed: bool
) -> None:
    async with (
        origin(switching(kind)) as upstream,
        serving(compiled(upstream.address, routes=[to_origin(*route)], upgrades=manager)) as rig,
    ):
        client = await rig.connect()
        await client.send(KIND % kind)
        head = await client.until(b"\r\n\r\n")
        assert head.split(b" ", 2)[1] == (b"101" if allowed else b"403")
        assert rig.value("downstream_cx_upgrades_active") == allowed
        client.stream.socket.close()
        await rig.quiet()
        assert rig.value("downstream_cx_upgrades_total") == allowed
        assert rig.value("downstream_cx_upgrades_active") == 0
        assert rig.value("downstream_rq_ws_on_non_ws_route") == (not allowed)
        assert upstream.accepted == allowed


@virtual
async def test_a_refused_upgrade_ends_the_connection() -> None:
    async with origin(switching(b"chat")) as upstream, serving(compiled(upstream.address)) as rig:
        answer = await rig.ask(KIND % b"chat" + GET)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert (rig.records[-1].detail, upstream.accepted) == ("upgrade_failed", 0)


@virtual
async def test_an_upstream_that_refuses_ends_the_connection_too() -> None:
    """Whatever came behind the request may have been meant for the tunnel."""
    async with origin(answering(REFUSED)) as upstream, serving(compiled(upstream.address, upgrades=(ON,))) as rig:
        answer = await rig.ask(KIND % b"chat" + GET)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert upstream.accepted == 1


@virtual
async def test_an_upstream_that_misleads_is_not_asked_again() -> None:
    """On the same connection: to a WebSocket, a 200 may be meant as consent."""
    websocket = (Upgrade("websocket"),)
    answer = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    async with origin(answer) as upstream, serving(compiled(upstream.address, upgrades=websocket)) as rig:
        assert (await rig.ask(KIND % b"websocket")).startswith(b"HTTP/1.1 200 ")
        client = await rig.connect()
        await client.send(GET)
        await client.response()
        assert upstream.accepted == 2


@pytest.mark.parametrize(("kind", "told"), [(b"chat", False), (b"talk", True)])
@virtual
async def test_filters_of_its_own(kind: bytes, told: bool) -> None:
    """The one upgrade passes a router that tells the upstream nothing, the other the connection manager's."""
    heads: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        heads.append(await read_head(stream))
        await stream.send_all(SWITCH % kind)

    upgrades = (Upgrade("chat", filters=(router(suppress_envoy_headers=True),)), Upgrade("talk"))
    async with origin(serve) as upstream, serving(compiled(upstream.address, upgrades=upgrades)) as rig:
        assert (await rig.ask(KIND % kind)).startswith(b"HTTP/1.1 101 ")
    assert [b"x-envoy-expected-rq-timeout-ms" in head for head in heads] == [told]


@pytest.mark.parametrize(
    ("routes", "status", "refused"),
    [
        ((to_origin(),), 404, 0),
        ((to_origin(match="connect"),), 403, 1),
        ((to_origin(RouteUpgrade("connect", enabled=False), match="connect"),), 403, 1),
        ((to_origin(RouteUpgrade("connect", terminates=True), match="connect"),), 200, 0),
        ((to_origin(RouteUpgrade("connect"), match="connect"),), 200, 0),
    ],
)
@virtual
async def test_connect(routes: tuple[Route, ...], status: int, refused: int) -> None:
    async with (
        origin(answering(b"HTTP/1.1 200 Connected\r\n\r\n")) as upstream,
        serving(compiled(upstream.address, routes=routes)) as rig,
    ):
        client = await rig.connect()
        await client.send(CONNECT)
        head = await client.until(b"\r\n\r\n")
        assert int(head.split(b" ", 2)[1]) == status
        assert rig.value("downstream_rq_ws_on_non_ws_route") == refused


@virtual
async def test_connect_of_the_connection_manager() -> None:
    """Its word counts where the route has none."""
    routes = (to_origin(match="connect"),)
    async with (
        origin(answering(b"HTTP/1.1 200 Connected\r\n\r\n")) as upstream,
        serving(compiled(upstream.address, routes=routes, upgrades=(Upgrade("connect"),))) as rig,
    ):
        client = await rig.connect()
        await client.send(CONNECT)
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
