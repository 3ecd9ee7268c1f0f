"""Attempts beside each other where things go wrong: clients leave, hosts vanish, drains come; nothing leaks."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

import trio

from proxy.config.forwarding import RetryPolicy
from proxy.config.route import Route
from proxy.upstream.tables import ClusterColumn
from tests.integration.test_fields import virtual
from tests.unit.proxy.filters.router.test_retrying import forwarding, retries_claimed
from tests.unit.proxy.rig import GET, Client, Rig, compiled, serving, until
from tests.unit.upstream.rig import OK, answering, origin, read_head, silent

Serve = Callable[[trio.SocketStream], Awaitable[None]]


def hedged(timeout: float = 0.0, **policy: object) -> Route:
    rules = RetryPolicy(("5xx",), per_try_timeout=1.0, **{"num_retries": 3, **policy})  # type: ignore[arg-type]
    return forwarding(timeout, retry=rules, hedge_on_per_try_timeout=True)


def in_turn(*serves: Serve) -> Serve:
    """An origin that serves its connections each in another way."""
    left = list(serves)

    async def serve(stream: trio.SocketStream) -> None:
        await left.pop(0)(stream)

    return serve


async def nothing_is_left(rig: Rig, client: Client) -> None:
    await trio.aclose_forcefully(client.stream)
    await rig.quiet()
    assert retries_claimed(rig) == 0
    assert rig.tables.clusters.total(0, ClusterColumn.REQUESTS) == 0
    assert not [name for name in rig.gauges() if "rq_" in name]


@virtual
async def test_a_client_that_leaves_while_several_run() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address, routes=[hedged()])) as rig:
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: rig.stats.value("cluster.origin.upstream_rq_total") == 3)
        await nothing_is_left(rig, client)
        assert rig.records[-1].flags == "DC"
        assert [attempt.error for attempt in rig.records[-1].attempts] == ["downstream_remote_disconnect"] * 3


@virtual
async def test_a_client_that_leaves_while_the_second_waits_to_go_out() -> None:
    async with (
        origin(silent) as upstream,
        serving(compiled(upstream.address, routes=[hedged(base_interval=500.0, max_interval=500.0)])) as rig,
    ):
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: retries_claimed(rig) == 1)
        await nothing_is_left(rig, client)


@virtual
async def test_the_route_s_timeout_ends_all_of_them() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address, routes=[hedged(2.5)])) as rig:
        client = await rig.connect()
        await client.send(GET)
        assert (await client.response())[0].startswith(b"HTTP/1.1 504 ")
        await nothing_is_left(rig, client)
        assert rig.stats.value("cluster.origin.upstream_rq_timeout") == 3
        assert rig.stats.value("cluster.origin.external.upstream_rq_504") == 3


@virtual
async def test_the_first_answer_resets_the_others_and_says_so() -> None:
    async with (
        origin(in_turn(silent, answering(OK), silent)) as upstream,
        serving(compiled(upstream.address, routes=[hedged()])) as rig,
    ):
        client = await rig.connect()
        await client.send(GET)
        assert (await client.response())[1] == b"ok"
        await nothing_is_left(rig, client)
        assert rig.stats.value("cluster.origin.upstream_cx_destroy_local_with_active_rq") == 1
        (beaten,) = rig.records[-1].attempts  # on record as the response began late
        assert beaten.error == "another attempt was answered first"


@virtual
async def test_hosts_that_vanish_one_after_the_other() -> None:
    async def gone_after(seconds: float, stream: trio.SocketStream) -> None:
        await read_head(stream)
        await trio.sleep(seconds)

    serves = [functools.partial(gone_after, seconds) for seconds in (3.5, 2.2, 1.1, 0.4)]
    async with (
        origin(in_turn(*serves)) as upstream,
        serving(compiled(upstream.address, routes=[hedged()])) as rig,
    ):
        client = await rig.connect()
        await client.send(GET)
        head, body = await client.response()
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"retried and the latest reset reason: connection termination" in body
        await nothing_is_left(rig, client)
        assert rig.stats.value("cluster.origin.upstream_rq_total") == 4


@virtual
async def test_a_drain_lets_them_finish() -> None:
    async with (
        origin(in_turn(silent, answering(OK), silent)) as upstream,
        serving(compiled(upstream.address, routes=[hedged()])) as rig,
    ):
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: rig.stats.value("cluster.origin.upstream_rq_total") == 1)
        rig.start_drain()
        assert (await client.response())[1] == b"ok"
        await nothing_is_left(rig, client)
