"""Connections that are opened ahead of requests."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from proxy.errors import ProxyError
from proxy.http.headers import Headers
from proxy.upstream import http1_pool
from tests.kit.trio import run_trio
from tests.unit.upstream.h2_rig import until
from tests.unit.upstream.rig import OK, Origin, Rig, answering, origin, read_body


@contextlib.asynccontextmanager
async def ahead(ratio: float, **options: Any) -> AsyncIterator[tuple[Rig, Origin]]:
    async with origin(answering(OK)) as host, trio.open_nursery() as nursery:
        async with Rig(host.address, preconnect_ratio=ratio, **options) as rig:
            await nursery.start(rig.background.run)
            yield rig, host
        nursery.cancel_scope.cancel()


async def settled(rig: Rig) -> None:
    """Until no connection is being opened."""
    pool = next(iter(rig.cluster._pools))
    with trio.fail_after(5):
        while getattr(pool, "_spares", 0):
            await trio.lowlevel.checkpoint()


def connections(rig: Rig) -> int:
    return rig.stat("cx_total")


@pytest.mark.parametrize(("ratio", "expected"), [(1.0, 1), (1.5, 2), (2.0, 2), (2.5, 3), (3.0, 3)])
@run_trio
async def test_there_are_as_many_times_more_connections_than_requests(ratio: float, expected: int) -> None:
    async with ahead(ratio) as (rig, host):
        for _ in range(4):
            await rig.get()
            await settled(rig)
        assert connections(rig) == expected
        assert host.accepted == expected


@run_trio
async def test_requests_at_once() -> None:
    async with ahead(2.0) as (rig, _):
        streams = [await rig.cluster.open_stream() for _ in range(3)]
        await settled(rig)
        assert connections(rig) == 6
        for stream in streams:
            await stream.send_request(b"GET", b"/", b"h", Headers(), end_stream=True)
            await read_body(stream)
            stream.close()
        await settled(rig)
        assert connections(rig) == 6
        assert rig.stat("rq_total") == 3


@run_trio
async def test_breakers_limit_it() -> None:
    async with ahead(3.0, breaker={"max_connections": 2}) as (rig, _):
        await rig.get()
        await settled(rig)
        assert connections(rig) == 2
        assert rig.stat("cx_overflow") >= 1


@run_trio
async def test_a_host_that_refuses_fails_its_requests_alone() -> None:
    async with origin(answering(OK)) as gone:
        pass
    async with trio.open_nursery() as nursery, Rig(gone.address, preconnect_ratio=3.0) as rig:
        await nursery.start(rig.background.run)
        with pytest.raises(ProxyError):
            await rig.get()
        await settled(rig)
        assert rig.stat("cx_connect_fail") == connections(rig) == 3
        assert rig.stat("rq_pending_failure_eject") == 1
        assert rig.stat("cx_active") == 0
        nursery.cancel_scope.cancel()


@run_trio
async def test_a_spare_that_is_being_opened_keeps_its_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose rows it writes: they are no other cluster's before it has let go of them."""
    connect, opened = http1_pool.connect_to, trio.Event()
    held: list[object] = []

    async def slow_but_for_one(*arguments: Any) -> Any:
        held.append(arguments)
        if len(held) > 1:
            await opened.wait()
        return await connect(*arguments)

    monkeypatch.setattr(http1_pool, "connect_to", slow_but_for_one)
    async with ahead(2.0) as (rig, _):
        await rig.get()
        with trio.fail_after(5):
            await until(lambda: len(held) == 2)
        cluster = weakref.ref(rig.cluster)
        rig.cluster.retire()
        del rig.cluster
        gc.collect()
        assert cluster() is not None
        opened.set()
        with trio.fail_after(5):
            await until(lambda: not rig.stat("cx_active"))
        await wait_all_tasks_blocked()
        gc.collect()
        assert cluster() is None
        assert rig.stat("cx_total") == 2
    assert rig.in_use() == {}
