"""Idle connections of a pool: whatever happens to one of them costs the same however many there are."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from proxy.upstream.http1_connection import Http1Connection
from proxy.upstream.http1_pool import Http1Pool
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import until
from tests.unit.upstream.rig import OK, Rig, answering, answering_once, origin, read_head
from tests.unit.upstream.test_pool import exchange, with_clock


@with_clock
async def test_the_reaper_looks_at_what_expires_and_at_one_more(clock: MockClock) -> None:
    async with origin(answering(OK)) as server, Rig(server.address, idle_timeout=60) as rig:
        streams = [await rig.cluster.open_stream() for _ in range(6)]
        for number, stream in enumerate(streams):
            await exchange(stream)
            if number == 2:
                clock.jump(30)
            stream.close()
        looked_at: list[Http1Connection] = []
        idle_too_long = Http1Pool._idle_too_long

        def counted(pool: Http1Pool, connection: Http1Connection, now: float) -> bool:
            looked_at.append(connection)
            return idle_too_long(pool, connection, now)

        def asked(_: Http1Connection) -> bool:
            raise AssertionError("a reaper has no business with sockets")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Http1Pool, "_idle_too_long", counted)
            patch.setattr(Http1Connection, "is_quiet", asked)
            rig.cluster.reap(trio.current_time())
            assert len(looked_at) == 1
            assert rig.stat("cx_active") == 6
            looked_at.clear()
            clock.jump(30)
            rig.cluster.reap(trio.current_time())
        assert [rig.stat("cx_idle_timeout"), rig.stat("cx_active")] == [2, 4]
        assert len(set(looked_at)) == 2 + 1


@run_trio
async def test_an_idle_connection_ends_when_its_peer_ends_it_and_no_reaper_is_needed() -> None:
    async with origin(answering_once(OK)) as server, Rig(server.address, idle_timeout=60) as rig:
        await rig.get()
        await until(lambda: not rig.stat("cx_active"))
        assert [rig.stat("cx_destroy_remote"), rig.stat("cx_idle_timeout")] == [1, 0]


@run_trio
async def test_an_idle_connection_on_which_something_unasked_comes_is_closed() -> None:
    speak = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(OK)
        await speak.wait()
        await stream.send_all(OK)
        assert await stream.receive_some(1) == b""  # we close first

    async with origin(serve) as server, Rig(server.address, idle_timeout=60) as rig:
        await rig.get()
        assert rig.stat("cx_active") == 1
        speak.set()
        await until(lambda: not rig.stat("cx_active"))
        assert rig.stat("cx_destroy") == 1


@run_trio
async def test_the_end_that_comes_with_the_response_is_noticed_when_the_connection_is_given_back() -> None:
    async with origin(answering_once(OK)) as server, Rig(server.address) as rig:
        stream = await rig.cluster.open_stream()
        await exchange(stream)
        await wait_all_tasks_blocked(0.05)  # the end has come too
        stream.close()
        assert [rig.stat("cx_active"), rig.stat("cx_destroy_remote")] == [0, 1]
