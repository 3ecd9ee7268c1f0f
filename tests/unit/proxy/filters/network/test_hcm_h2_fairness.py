"""A thousand streams that begin in one packet, or on many connections at once, do not begin in one turn of the loop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import trio

from proxy.filters.network.hcm_h2_streams import Http2Streams
from proxy.limits import STREAM_BURST
from tests.integration.test_fields import virtual
from tests.kit.h2_client import frame
from tests.unit.proxy.h2_rig import connect
from tests.unit.proxy.http.h2_helpers import HEAD_BLOCK
from tests.unit.proxy.rig import compiled, serving, until
from tests.unit.upstream.rig import OK, answering, origin, silent

STREAMS = 200


class Turns(trio.abc.Instrument):
    """How many streams have begun in each turn of the loop."""

    def __init__(self) -> None:
        self.begun = [0]

    def before_io_wait(self, timeout: float) -> None:
        self.begun.append(0)


@contextlib.contextmanager
def counted() -> Iterator[Turns]:
    """What starts meanwhile, in the express lane or not."""
    turns = Turns()
    start_one = Http2Streams._start_one

    def start(streams: Http2Streams) -> bool:
        turns.begun[-1] += 1
        return start_one(streams)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Http2Streams, "_start_one", start)
        trio.lowlevel.add_instrument(turns)
        yield turns
        trio.lowlevel.remove_instrument(turns)


@virtual
async def test_streams_begin_a_few_in_each_turn() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        peer = await connect(rig)
        await peer.get()
        with counted() as turns:
            await peer.client.send(b"".join(frame(1, 5, 2 * number + 3, HEAD_BLOCK) for number in range(STREAMS)))
            await until(lambda: rig.value("downstream_rq_2xx") + rig.value("downstream_rq_5xx") == STREAMS + 1)
        assert sum(turns.begun) == STREAMS
        assert max(turns.begun) <= 2 * STREAM_BURST


@virtual
async def test_all_connections_share_a_turn() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        peers = [await connect(rig) for _ in range(10)]
        for peer in peers:
            await peer.get()
        with counted() as turns:
            begun = b"".join(frame(1, 5, 2 * number + 3, HEAD_BLOCK) for number in range(STREAMS // len(peers)))
            for peer in peers:
                await peer.client.send(begun)
            served = STREAMS + len(peers)
            await until(lambda: rig.value("downstream_rq_2xx") + rig.value("downstream_rq_5xx") == served)
        assert sum(turns.begun) == STREAMS
        assert max(turns.begun) <= 2 * STREAM_BURST


@virtual
async def test_who_waits_is_charged_when_the_connection_ends() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        peer = await connect(rig)
        await peer.get()
        await peer.client.send(b"".join(frame(1, 5, 2 * number + 3, HEAD_BLOCK) for number in range(STREAMS)))
        await until(lambda: rig.value("downstream_rq_http2_total") > 1)
        await trio.aclose_forcefully(peer.client.stream)
        await rig.quiet()
        assert rig.value("downstream_rq_http2_total") == STREAMS + 1
        assert rig.value("downstream_rq_active") == 0
        assert rig.stats.value("cluster.origin.upstream_rq_active") == 0


@virtual
async def test_a_stream_that_comes_and_goes_in_one_packet_is_one_of_many() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        peer = await connect(rig)
        await peer.get()
        await peer.client.send(frame(1, 5, 3, HEAD_BLOCK) + frame(3, 0, 3, bytes(4)))
        await until(lambda: rig.value("downstream_rq_rx_reset") == 1)
        peer.h2.get_next_available_stream_id()
        peer.h2.highest_outbound_stream_id = 3
        assert (await peer.get())[":status"] == "200"


class Ends(trio.abc.Instrument):
    """How many streams have ended in each turn of the loop."""

    def __init__(self) -> None:
        self.ended = [0]

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self.ended[-1] += task.name.endswith("Http2Streams._serve")

    def before_io_wait(self, timeout: float) -> None:
        self.ended.append(0)


@virtual
@pytest.mark.parametrize("started", [True, False])
async def test_streams_end_a_few_in_each_turn(started: bool) -> None:
    """When their connection does, whether they had started or not."""
    ends = Ends()
    trio.lowlevel.add_instrument(ends)
    async with origin(silent) as upstream, serving(compiled(upstream.address)) as rig:
        peer = await connect(rig)
        begun = b"".join(frame(1, 5, 2 * number + 1, HEAD_BLOCK) for number in range(STREAMS))
        await peer.client.send(begun if started else begun + frame(6, 0, 1, bytes(8)))  # a PING that is none
        if started:
            await until(lambda: rig.stats.value("cluster.origin.upstream_rq_active") == STREAMS)
            await trio.aclose_forcefully(peer.client.stream)
        await until(lambda: rig.value("downstream_rq_active") == 0 and sum(ends.ended) == STREAMS)
        assert max(ends.ended) <= 2 * STREAM_BURST
        assert rig.value("downstream_rq_http2_total") == STREAMS
    trio.lowlevel.remove_instrument(ends)
