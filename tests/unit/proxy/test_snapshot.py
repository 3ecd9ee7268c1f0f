"""From one configuration to the next in one worker: what does not change is the same object."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable
from typing import Any

import msgspec
import trio

from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Cluster, ClusterEndpoints, Endpoints, Host, LocalityHosts
from proxy.config.common import Address
from proxy.config.listener import Listener
from proxy.filters.http.buffer import Buffer
from proxy.server import ListenerDraining, Server
from proxy.snapshot import Snapshot
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import GET, Rig, compiled, plugin, route, serving, until
from tests.unit.upstream.rig import OK, answering, origin, read_head


def config(*origins: Address, to: str = "one", names: Iterable[str] = ("one", "two"), **more: Any) -> CompiledConfig:
    """Listener `l` leads everything to the cluster `to`; each of `names` is a cluster with one of `origins`."""
    named = dict(zip(names, origins, strict=False))
    made = compiled(None, routes=[route(cluster=to)], **more)
    endpoints = {
        name: ClusterEndpoints(name, 1, (LocalityHosts(0, (Host(slot, address),)),), slot)
        for slot, (name, address) in enumerate(named.items())
    }
    clusters = tuple(Cluster(name, "STATIC") for name in named)
    return msgspec.structs.replace(made, clusters=clusters, endpoints=Endpoints(1, endpoints))


def with_listener(base: CompiledConfig, **fields: Any) -> CompiledConfig:
    listener: Listener = msgspec.structs.replace(base.listeners[0], **fields)
    return msgspec.structs.replace(base, listeners=(listener,))


async def prepared(server: Server, now: CompiledConfig) -> Snapshot:
    return await server.prepare(now, now.endpoints)


async def change(rig: Rig, now: CompiledConfig, *, seconds: float = 30.0) -> Snapshot:
    """`seconds`: how long what is replaced drains."""
    snapshot = await prepared(rig.server, now)
    rig.server.commit(snapshot, ListenerDraining(elapsed=0.0, seconds=seconds, immediate=True))
    return snapshot


@run_trio
async def test_what_does_not_change_is_the_same_object() -> None:
    async with origin(answering(OK)) as one, origin(answering(OK)) as two:
        base = config(one.address, two.address)
        async with serving(base) as rig:
            before = await prepared(rig.server, base)
            changed = with_listener(base, per_connection_buffer_limit_bytes=5000)
            other = msgspec.structs.replace(
                changed, clusters=(base.clusters[0], Cluster("two", "STATIC", connect_timeout=9.0))
            )
            after = await change(rig, other)
            assert after.clusters["one"] is before.clusters["one"]
            assert after.clusters["two"] is not before.clusters["two"]
            assert after.listeners["l"] is not before.listeners["l"]
            again = await change(rig, other)
            assert again.listeners["l"] is after.listeners["l"]
            assert dict(again.clusters) == dict(after.clusters)


@run_trio
async def test_connections_to_an_upstream_outlive_a_change_of_routes_and_of_the_listener() -> None:
    async with (
        origin(answering(OK)) as one,
        origin(answering(OK)) as two,
        serving(config(one.address, two.address)) as rig,
        await rig.connect() as client,
    ):
        for to in ("one", "two", "one"):
            await change(rig, config(one.address, two.address, to=to))
            for _ in range(2):
                await client.send(GET)
                assert (await client.response())[1] == b"ok"
        assert (one.accepted, two.accepted) == (1, 1)
        assert rig.server.connections == 1
        await change(rig, with_listener(config(one.address, two.address), per_connection_buffer_limit_bytes=5000))
        assert (await rig.ask(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))).endswith(b"ok")
        assert one.accepted == 1
        await client.send(GET)
        assert b"\r\nconnection: close\r\n" in await client.rest()  # its own listener drains


@run_trio
async def test_an_exchange_keeps_the_clusters_that_it_began_with() -> None:
    """The filter in front of the router waits for the whole body; meanwhile route and cluster go."""
    buffer = "envoy.extensions.filters.http.buffer.v3.Buffer"
    filters = (plugin("buffer", buffer, Buffer.Config(1000)),)

    async def echo(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(OK)

    async with (
        origin(echo) as one,
        origin(answering(OK)) as two,
        serving(config(one.address, filters=filters)) as rig,
        await rig.connect() as client,
    ):
        await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nx")
        await until(lambda: rig.server.requests_active == 1)
        await change(rig, config(two.address, to="two", names=["two"], filters=filters))
        await client.send(b"y")
        assert (await client.response())[0].startswith(b"HTTP/1.1 200 OK")
        assert (one.accepted, two.accepted) == (1, 0)
        await client.send(GET)
        await client.response()
        assert two.accepted == 1


@run_trio
async def test_a_cluster_that_is_gone_leaves_no_connection_and_no_claim() -> None:
    async with (
        origin(answering(OK)) as one,
        origin(answering(OK)) as two,
        serving(config(one.address, two.address)) as rig,
    ):
        async with await rig.connect() as client:
            await client.send(GET)
            await client.response()
            assert rig.stats.value("cluster.one.upstream_cx_active") == 1
            await change(rig, config(two.address, to="two", names=["two"]))
            assert rig.stats.value("cluster.one.upstream_cx_active") == 0
            await client.send(GET)
            await client.response()
        await rig.quiet()
        await until(lambda: not rig.server.hosts_draining)
        assert not any(rig.tables.clusters.get(0, column) for column in range(1, 4))


@run_trio
async def test_a_removed_listener_serves_what_waits_and_ends_with_its_drain() -> None:
    async with origin(answering(OK)) as one, serving(config(one.address)) as rig:
        idle = await rig.connect()
        await idle.send(GET)
        await idle.response()
        gone = msgspec.structs.replace(config(one.address), listeners=())
        await change(rig, gone, seconds=1.0)
        late = await rig.ask()  # it was in the queue
        assert b"\r\nconnection: close\r\n" in late
        assert await idle.rest() == b""  # cut when the time is over
        await rig.quiet()


@run_trio
async def test_what_cannot_be_built_changes_nothing() -> None:
    async with origin(answering(OK)) as one, serving(config(one.address)) as rig:
        broken = with_listener(config(one.address), filter_chains=())
        try:
            await prepared(rig.server, broken)
        except ValueError:
            assert (await rig.ask(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))).endswith(b"ok")
        else:
            raise AssertionError("a listener without a filter chain was built")


@run_trio
async def test_a_listener_that_was_replaced_is_gone_with_its_last_connection() -> None:
    """Its route table may be large: no garbage collection is needed."""
    async with origin(answering(OK)) as one, serving(config(one.address)) as rig:
        client = await rig.connect()
        for _ in range(2):
            await client.send(GET)
            await client.response()
        (listener,) = (await prepared(rig.server, config(one.address))).listeners.values()
        old, manager = weakref.ref(listener), weakref.ref(listener._chains[0]._filters[0])
        del listener
        gc.disable()
        try:
            await change(rig, with_listener(config(one.address), per_connection_buffer_limit_bytes=5000))
            assert old() is not None
            await client.send(GET)
            await client.rest()
            await until(lambda: old() is None and manager() is None)
        finally:
            gc.enable()
