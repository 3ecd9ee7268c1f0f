"""Retries and mirrors where things go wrong between and within attempts: nobody waits, nothing leaks."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Cluster, ClusterEndpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.config.forwarding import Forwarding, Mirror, ResetHeader, RetryPolicy
from proxy.config.route import ClusterAction, Route, RouteMatch
from proxy.upstream.tables import ClusterColumn
from tests.integration.test_fields import virtual
from tests.unit.proxy.rig import GET, Rig, compiled, serving, until
from tests.unit.upstream.rig import OK, answering, origin, read_head, silent

UNAVAILABLE = b"HTTP/1.1 503 No\r\nretry-after: 10\r\ncontent-length: 0\r\n\r\n"
LONG_WAIT = {"reset_headers": (ResetHeader("retry-after"),)}
"""10 to 15 seconds."""


def forwarding(timeout: float = 15.0, **options: Any) -> Route:
    return Route(RouteMatch("prefix", "/"), ClusterAction("origin", timeout, forwarding=Forwarding(**options)))


def retried(timeout: float = 0.0, **policy: Any) -> Route:
    return forwarding(timeout, retry=RetryPolicy(("5xx",), **policy))


def with_cluster(config: CompiledConfig, name: str, address: SocketAddress) -> CompiledConfig:
    """One more cluster."""
    endpoints = ClusterEndpoints(name, 1, (LocalityHosts(0, (Host(1, address),)),))
    return msgspec.structs.replace(
        config,
        clusters=(*config.clusters, Cluster(name, "STATIC")),
        endpoints=msgspec.structs.replace(config.endpoints, clusters={**config.endpoints.clusters, name: endpoints}),
    )


def retries_claimed(rig: Rig) -> int:
    return rig.tables.clusters.total(0, ClusterColumn.RETRIES)


async def unavailable(stream: trio.SocketStream) -> None:
    while await read_head(stream):
        await stream.send_all(UNAVAILABLE)


@virtual
async def test_a_client_that_leaves_while_its_retry_waits() -> None:
    async with (
        origin(unavailable) as upstream,
        serving(compiled(upstream.address, routes=[retried(**LONG_WAIT)])) as rig,
    ):
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: retries_claimed(rig) == 1)
        await trio.sleep(1.5)
        await trio.aclose_forcefully(client.stream)
        await rig.quiet()
        assert rig.records[-1].flags == "DC"
        assert retries_claimed(rig) == 0
        assert not [name for name in rig.gauges() if "rq_" in name]
        assert rig.stats.value("cluster.origin.upstream_rq_total") == 1


@virtual
async def test_a_drain_lets_a_retry_finish() -> None:
    seen: list[float] = []

    async def failing_once(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            seen.append(trio.current_time())
            await stream.send_all(UNAVAILABLE if len(seen) == 1 else OK)

    async with (
        origin(failing_once) as upstream,
        serving(compiled(upstream.address, routes=[retried(**LONG_WAIT)])) as rig,
    ):
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: retries_claimed(rig) == 1)
        rig.start_drain()
        head, _ = await client.response()
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in head
        assert len(seen) == 2


@virtual
async def test_the_routes_timeout_ends_a_wait() -> None:
    route = retried(2.0, **LONG_WAIT)
    async with origin(unavailable) as upstream, serving(compiled(upstream.address, routes=[route])) as rig:
        client = await rig.connect()
        await client.send(GET)
        head, _ = await client.response()
        assert head.startswith(b"HTTP/1.1 504 ")
        assert rig.records[-1].detail == "response_timeout"
        assert retries_claimed(rig) == 0


@virtual
async def test_no_more_retries_at_once_than_the_breaker_allows() -> None:
    """Five requests fail together and wait; the default is three retries."""
    route = retried(**LONG_WAIT)
    async with origin(unavailable) as upstream, serving(compiled(upstream.address, routes=[route])) as rig:
        clients = [await rig.connect() for _ in range(5)]
        for client in clients:
            await client.send(GET)
        await until(lambda: rig.stats.value("cluster.origin.upstream_rq_retry") == 3)
        await until(lambda: rig.stats.value("cluster.origin.upstream_rq_retry_overflow") == 2)
        await until(lambda: len([record for record in rig.records if record.flags == "UO"]) == 2)
        for client in clients:
            await client.response()
        assert retries_claimed(rig) == 0


@virtual
async def test_an_upstream_that_dies_between_attempts() -> None:
    asked: list[bytes] = []

    async def dying(stream: trio.SocketStream) -> None:
        asked.append(await read_head(stream))
        if len(asked) == 1:
            await stream.send_all(UNAVAILABLE)

    async with origin(dying) as upstream, serving(compiled(upstream.address, routes=[retried(**LONG_WAIT)])) as rig:
        client = await rig.connect()
        await client.send(GET)
        _, body = await client.response()
        assert body.endswith(b"retried and the latest reset reason: connection termination")
        assert [attempt.error for attempt in rig.records[-1].attempts] == ["503", "connection termination"]


@virtual
async def test_a_body_that_comes_slowly_is_read_on_by_the_second_attempt() -> None:
    """The first attempt fails within the upload: the second has what was kept, and the rest from the client."""
    bodies: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        data = await read_head(stream)
        if not bodies:
            bodies.append(data)
            await stream.send_all(UNAVAILABLE)
            return
        while not data.endswith(b"end"):
            data += await stream.receive_some()
        bodies.append(data.partition(b"\r\n\r\n")[2])
        await stream.send_all(OK)

    async with origin(serve) as upstream, serving(compiled(upstream.address, routes=[retried()])) as rig:
        client = await rig.connect()
        size = 100_000 + 3
        await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size + b"x" * 40_000)
        await until(lambda: rig.stats.value("cluster.origin.upstream_rq_total") == 2)
        await client.send(b"x" * 60_000 + b"end")
        head, _ = await client.response()
        assert head.startswith(b"HTTP/1.1 200 ")
        assert bodies[1] == b"x" * 100_000 + b"end"


@virtual
async def test_a_mirror_that_says_nothing_holds_nobody_up() -> None:
    route = forwarding(mirrors=(Mirror("mirror"),))
    async with origin(answering(OK)) as upstream, origin(silent) as mirror:
        config = with_cluster(compiled(upstream.address, routes=[route]), "mirror", mirror.address)
        async with serving(config) as rig:
            begun = trio.current_time()
            client = await rig.connect()
            await client.send(GET)
            head, _ = await client.response()
            assert head.startswith(b"HTTP/1.1 200 ")
            assert trio.current_time() - begun < 1
            await until(lambda: rig.stats.value("cluster.mirror.upstream_rq_timeout") == 1)
            assert not [name for name in rig.gauges() if "rq_" in name]


@virtual
async def test_a_mirror_that_does_not_read_is_given_up() -> None:
    """Its copy of a large body stops at the limit; the request goes on."""
    size = 8_000_000
    route = forwarding(mirrors=(Mirror("mirror"),))

    async def reading(stream: trio.SocketStream) -> None:
        seen = len((await read_head(stream)).partition(b"\r\n\r\n")[2])
        while seen < size:
            seen += len(await stream.receive_some())
        await stream.send_all(OK)

    async def deaf(stream: trio.SocketStream) -> None:
        await trio.sleep(1000)

    async with origin(reading) as upstream, origin(deaf) as mirror:
        config = with_cluster(compiled(upstream.address, routes=[route]), "mirror", mirror.address)
        async with serving(config) as rig:
            client = await rig.connect()
            await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size + bytes(size))
            head, _ = await client.response()
            assert head.startswith(b"HTTP/1.1 200 ")
            await until(lambda: not rig.stats.value("cluster.mirror.upstream_rq_active"))
            assert rig.stats.value("cluster.origin.retry_or_shadow_abandoned") == 1
