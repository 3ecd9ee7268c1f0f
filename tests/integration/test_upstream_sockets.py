"""Sockets to hosts: an address of their own, keep-alive, options; what the kernel does not take."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
import trio

from master.explain.story import tell
from proxy.config.common import SocketAddress
from tests.integration.test_fields import cluster, one_listener
from tests.kit.config import bootstrap, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import GET, Rig, serving, until
from tests.unit.upstream.rig import OK, answering, origin

CLUSTER = "envoy.config.cluster.v3.Cluster"
CORE = "envoy.config.core.v3"


def configured(address: SocketAddress, **fields: Any) -> str:
    return bootstrap(clusters=cluster(address, fields=", ".join(f"{k}: {json.dumps(v)}" for k, v in fields.items())))


def bound(address: str, port: int = 0, **more: Any) -> dict[str, Any]:
    return {"source_address": {"address": address, "port_value": port}, **more}


def option(level: int, name: int, **value: Any) -> dict[str, Any]:
    return {"socket_options": [{"level": level, "name": name, **value}]}


async def seen(monkeypatch: pytest.MonkeyPatch, look: Callable[[socket.socket], Any], **fields: Any) -> Any:
    """What `look` sees of the socket to a host when it is about to connect."""
    found: list[Any] = []
    connect = socket.socket.connect_ex

    def watched(sock: socket.socket, target: Any) -> int:
        found.append(look(sock))
        return connect(sock, target)

    async with origin(answering(OK)) as upstream, serving(one_listener(configured(upstream.address, **fields))) as rig:
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "connect_ex", watched)
            await ask(rig)
    return found[0]


async def ask(rig: Rig) -> bytes:
    client = await rig.connect()
    await client.send(GET)
    with trio.fail_after(5):
        head, body = await client.response()
    return head + body


@run_trio
@pytest.mark.field(f"{CLUSTER}.upstream_bind_config", f"{CORE}.BindConfig.source_address")
async def test_a_source_address() -> None:
    peers: list[str] = []

    async def serve(stream: trio.SocketStream) -> None:
        peers.append(stream.socket.getpeername()[0])
        await answering(OK)(stream)

    async with origin(serve) as upstream:
        text = configured(upstream.address, upstream_bind_config=bound("127.0.0.2"))
        async with serving(one_listener(text)) as rig:
            assert (await ask(rig)).startswith(b"HTTP/1.1 200")
    assert peers == ["127.0.0.2"]


@run_trio
@pytest.mark.field(f"{CORE}.BindConfig.extra_source_addresses", f"{CORE}.ExtraSourceAddress.address")
async def test_a_source_address_of_the_hosts_own_version(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = [{"address": {"address": "127.0.0.3", "port_value": 0}}]
    bind = bound("::1", extra_source_addresses=extra)
    assert await seen(monkeypatch, lambda sock: sock.getsockname()[0], upstream_bind_config=bind) == "127.0.0.3"


@run_trio
@pytest.mark.field(
    f"{CLUSTER}.upstream_connection_options",
    f"{CLUSTER.rpartition('.')[0]}.UpstreamConnectionOptions.tcp_keepalive",
    *(f"{CORE}.TcpKeepalive.{name}" for name in ("keepalive_probes", "keepalive_time", "keepalive_interval")),
)
async def test_keep_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(sock: socket.socket) -> list[int]:
        names = (socket.TCP_KEEPCNT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
        alive = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        return [alive, *(sock.getsockopt(socket.IPPROTO_TCP, name) for name in names)]

    async def options(**keepalive: int) -> Any:
        return await seen(monkeypatch, look, upstream_connection_options={"tcp_keepalive": keepalive})

    assert await options(keepalive_probes=4, keepalive_time=77, keepalive_interval=8) == [1, 4, 77, 8]
    assert (await options(keepalive_probes=4, keepalive_time=0))[0] == 0, "a 0 switches it off, as in Envoy"


@run_trio
@pytest.mark.field(
    f"{CORE}.BindConfig.socket_options", *(f"{CORE}.SocketOption.{name}" for name in ("level", "name", "int_value"))
)
async def test_a_number_as_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    number = socket.TCP_MAXSEG
    bind = option(socket.IPPROTO_TCP, number, int_value=500)
    assert await seen(monkeypatch, lambda s: s.getsockopt(socket.IPPROTO_TCP, number), upstream_bind_config=bind) == 500


@run_trio
@pytest.mark.field(f"{CORE}.BindConfig.freebind")
async def test_an_address_that_the_machine_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    bind = bound("192.0.2.7", freebind=True)
    assert await seen(monkeypatch, lambda sock: sock.getsockname()[0], upstream_bind_config=bind) == "192.0.2.7"


@run_trio
@pytest.mark.field(f"{CORE}.SocketOption.buf_value")
async def test_bytes_as_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    bind = option(socket.SOL_SOCKET, socket.SO_PRIORITY, buf_value="BQAAAA==")
    found = await seen(
        monkeypatch, lambda sock: sock.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY), upstream_bind_config=bind
    )
    assert found == 5


@run_trio
@pytest.mark.field(f"{CLUSTER}.connection_pool_per_downstream_connection")
async def test_connections_of_a_client_of_its_own() -> None:
    async with origin(answering(OK)) as upstream:
        text = configured(upstream.address, connection_pool_per_downstream_connection=True)
        async with serving(one_listener(text)) as rig:
            clients = [await rig.connect() for _ in range(2)]
            for _ in range(3):
                for client in clients:
                    await client.send(GET)
                    await client.response()
            assert upstream.accepted == 2
            await clients[0].stream.aclose()
            await until(lambda: rig.server.connections == 1)
            upstreams = rig.server._clusters.get("origin")
            assert upstreams is not None
            upstreams.reap(trio.current_time())
            assert rig.stats.value("cluster.origin.upstream_cx_active") == 1
            await clients[1].send(GET)
            await clients[1].response()
            assert upstream.accepted == 2


@pytest.mark.parametrize(
    ("bind", "cause", "words", "counted"),
    [
        (bound("192.0.2.1"), "failed to bind to 192.0.2.1:0: Cannot assign", "could not be given its source", 1),
        (bound("::1"), "failed to bind to [::1]:0: Address family not supported", "could not be given its source", 1),
        (option(1, 99999, int_value=1), "Protocol not available", "did not take the socket options", 0),
    ],
)
@run_trio
async def test_what_the_kernel_does_not_take(bind: dict[str, Any], cause: str, words: str, counted: int) -> None:
    async with origin(answering(OK)) as upstream:
        async with serving(one_listener(configured(upstream.address, upstream_bind_config=bind))) as rig:
            assert b"reset reason: local connection failure" in await ask(rig)
            (record,) = rig.records
            assert cause in record.cause
            story = tell(record)
            assert words in story.what
            assert story.fault == "us"
            assert rig.stats.value("cluster.origin.bind_errors") == counted
            assert rig.stats.value("cluster.origin.upstream_cx_destroy_local") == 1
        assert upstream.accepted == 0


def test_faults() -> None:
    def messages(**fields: Any) -> str:
        found = findings(configured(SocketAddress("127.0.0.1", 9), **fields))
        return " ".join(finding.message for finding in found)

    extra = [{"address": {"address": "127.0.0.3", "port_value": 0}}]
    assert "malformed IP address" in messages(upstream_bind_config=bound("localhost"))
    assert "of this version of IP already" in messages(
        upstream_bind_config=bound("127.0.0.2", extra_source_addresses=extra)
    )
    assert "there is none" in messages(upstream_bind_config={"extra_source_addresses": extra})
    assert "more than the kernel takes" in messages(
        upstream_connection_options={"tcp_keepalive": {"keepalive_probes": 128}}
    )
    assert "32 bits" in messages(upstream_bind_config=option(1, 2, int_value=2**40))
    assert "32 bits" in messages(upstream_bind_config=option(2**40, 2, int_value=1))
    assert "STATE_BOUND is not supported" in messages(
        upstream_bind_config=option(1, 2, int_value=1, state="STATE_BOUND")
    )


@run_trio
@pytest.mark.field(f"{CLUSTER}.preconnect_policy", f"{CLUSTER}.PreconnectPolicy.per_upstream_preconnect_ratio")
async def test_connections_ahead_of_requests() -> None:
    async with origin(answering(OK)) as upstream:
        text = configured(upstream.address, preconnect_policy={"per_upstream_preconnect_ratio": 3})
        async with serving(one_listener(text)) as rig:
            client = await rig.connect()
            for _ in range(3):
                await client.send(GET)
                await client.response()
            with trio.move_on_after(2):
                await until(lambda: upstream.accepted == 3)
            assert rig.stats.value("cluster.origin.upstream_cx_total") == 3
