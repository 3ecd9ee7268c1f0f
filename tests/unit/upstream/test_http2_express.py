"""What the express lane sends on HTTP/2 connections: who gets a place, and what becomes of the response."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from proxy.http.h2_request_fields import request_fields
from proxy.http.headers import Headers
from proxy.upstream.http2_express import ExpressStream
from proxy.upstream.pool import Pool
from tests.kit.trio import run_trio
from tests.unit.upstream.h2_rig import H2Rig, H2Server, until
from tests.unit.upstream.rig import origin, read_body

FIELDS, _ = request_fields(b"GET", b"/", b"h", Headers(), b"http")


def pool_of(rig: H2Rig) -> Pool:
    pool = rig.cluster.pick()
    assert pool is not None
    return pool


class Lane:
    """Sends one request, and hears when it is settled."""

    def __init__(self, rig: H2Rig, body: bytes = b"") -> None:
        self.pool = pool_of(rig)
        now = trio.current_time()
        self.place: ExpressStream = self.pool.take(now, len(body))
        self.settled = trio.Event()
        self.place.send(FIELDS, body, now)
        self.place.listen(self.settled.set)

    def end(self) -> None:
        self.pool.put_back(self.place, trio.current_time())


@run_trio
async def test_a_plain_response() -> None:
    server = H2Server()
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        assert pool_of(rig).take(0.0) is None, "there is no connection yet"
        await rig.get()
        lane = Lane(rig)
        await lane.settled.wait()
        place = lane.place
        assert place.plain
        assert place.head is not None
        assert (place.head.status, place.body, place.size, place.head_alone) == (200, b"ok", 2, False)
        lane.end()
        assert (rig.stat("rq_total"), rig.stat("cx_total")) == (2, 1)
        assert rig.stat("rq_active") == 0


@run_trio
async def test_places_are_as_many_as_connections_and_breakers_allow() -> None:
    server = H2Server(max_streams=2, holds=True)
    async with origin(server.serve) as host, H2Rig(host.address, breaker={"max_requests": 3}) as rig:
        server.holds = False
        await rig.get()
        server.holds = True
        lanes = [Lane(rig), Lane(rig)]
        assert pool_of(rig).take(0.0) is None, "the host takes no more"
        assert rig.stat("rq_active") == 2
        (peer,) = server.peers
        await until(lambda: len(peer.asked) == 2)
        for stream in list(peer.asked):
            await peer.answer(stream)
        for lane in lanes:
            await lane.settled.wait()
            lane.end()
        assert pool_of(rig).take(0.0, 1 << 20) is None, "the host's window is smaller than that"
        assert rig.stat("rq_active") == 0


@run_trio
async def test_nobody_gets_a_place_beyond_the_breaker() -> None:
    server = H2Server()
    async with origin(server.serve) as host, H2Rig(host.address, breaker={"max_requests": 1}) as rig:
        await rig.get()
        lane = Lane(rig)
        assert pool_of(rig).take(0.0) is None
        assert rig.stat("rq_active_overflow") == 0, "who asks in another way is told"
        await lane.settled.wait()
        lane.end()


@run_trio
async def test_the_last_request_of_a_connection_ends_it() -> None:
    server = H2Server()
    async with origin(server.serve) as host, H2Rig(host.address, max_requests_per_connection=2) as rig:
        await rig.get()
        lane = Lane(rig)
        await lane.settled.wait()
        lane.end()
        await until(lambda: rig.stat("cx_active") == 0)
        assert (rig.stat("cx_max_requests"), rig.stat("cx_destroy_local")) == (1, 1)


@pytest.mark.parametrize("comes", ["nothing", "head", "all"])
@run_trio
async def test_the_general_path_goes_on_with_what_has_come(comes: str) -> None:
    server = H2Server()
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        await rig.get()
        server.holds = True
        (peer,) = server.peers
        lane = Lane(rig, b"")
        await until(lambda: peer.asked)
        (stream,) = peer.asked
        if comes == "all":
            await peer.answer(stream)
            await lane.settled.wait()
        elif comes == "head":
            peer.h2.send_headers(stream, [(":status", "200")])
            await peer.flush()
            await until(lambda: lane.place.head is not None)
        going_on: Any = lane.pool.go_on(lane.place, rig.cluster.outcomes(internal=False), sent_at=1.0)
        await going_on.send_request(b"GET", b"/", b"h", Headers(), end_stream=True)
        assert going_on.request_ended_at == 1.0
        if comes == "nothing":
            await peer.answer(stream)
        elif comes == "head":
            peer.h2.send_data(stream, b"ok", end_stream=True)
            await peer.flush()
        assert await read_body(going_on) == b"ok"
        going_on.close()
        assert (rig.stat("rq_total"), rig.stat("rq_active"), rig.http2("tx_reset")) == (2, 0, 0)


@run_trio
async def test_it_holds_no_more_than_it_may() -> None:
    server = H2Server()
    async with origin(server.serve) as host, H2Rig(host.address) as rig:
        await rig.get()
        server.holds = True
        lane = Lane(rig)
        lane.place.read_at_most(3)
        (peer,) = server.peers
        await until(lambda: peer.asked)
        (stream,) = peer.asked
        peer.h2.send_headers(stream, [(":status", "200")])
        peer.h2.send_data(stream, b"long")
        await peer.flush()
        await lane.settled.wait()
        assert not lane.place.plain
        lane.pool.go_on(lane.place, rig.cluster.outcomes(internal=False), sent_at=1.0).close()
        await until(lambda: peer.resets() == [8])
        assert rig.stat("rq_active") == 0


@run_trio
async def test_a_lane_that_fails_leaves_the_others_their_connection(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("a fault of ours")

    async with origin(H2Server().serve) as host, H2Rig(host.address) as rig:
        await rig.get()
        lane = Lane(rig)
        lane.place.listen(broken)
        await until(lambda: lane.place.settled)
        lane.end()
        assert await rig.get() == b"ok"
        assert rig.stat("cx_total") == 1
    assert "a fault of ours" in caplog.text
