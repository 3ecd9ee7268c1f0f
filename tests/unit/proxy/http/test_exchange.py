"""How an exchange sends its response: at the client's pace, whatever the upstream has at hand."""

from __future__ import annotations

import trio
import trio.testing

from proxy.config.http2 import Http2Options
from proxy.http.codec_h2_server import H2ServerCodec
from proxy.http.deadlines import Deadlines
from proxy.http.events import RequestReceived
from proxy.http.exchange import Exchange, Policy
from proxy.http.filter_failures import FilterFailures
from proxy.http.h2_downstream import H2Downstream
from proxy.http.h2_frames import PREFACE
from proxy.http.h2_stats import Http2Stats
from proxy.http.headers import Headers
from proxy.http.response_head import ResponseRules
from proxy.http.stream_info import StreamInfo
from proxy.stats import MemoryStats
from tests.kit.h2_client import frame
from tests.kit.trio import run_trio
from tests.unit.proxy.http.h2_helpers import HEAD_BLOCK

PIECE = bytes(1000)


class Link:
    """A connection of which nobody writes."""

    connection = None

    def __init__(self, codec: H2ServerCodec) -> None:
        self.codec = codec

    def wake_writer(self) -> None:
        pass


@run_trio
async def test_nothing_is_added_to_what_waits_for_the_clients_window() -> None:
    """Though the upstream has more at hand, so that a packet of its own is not asked for."""
    stats = MemoryStats()
    codec = H2ServerCodec(Http2Options(), Http2Stats(stats))
    (head,) = codec.receive(PREFACE + frame(4, 0, 0, b"\0\4\0\0\0\0") + frame(1, 5, 1, HEAD_BLOCK))
    assert isinstance(head, RequestReceived)
    downstream = H2Downstream(Link(codec), 1, head)  # type: ignore[arg-type]
    policy = Policy(ResponseRules(), lambda: False, {}, FilterFailures(stats.counter("filter_exceptions")))
    now = trio.current_time()
    exchange = Exchange(downstream, Deadlines(0, now), StreamInfo(now), policy)
    exchange.begin(head)

    async def respond() -> None:
        await exchange.send_headers(200, Headers(), end_stream=False, flush=False)
        for _ in range(10):
            await exchange.send_data(PIECE, flush=False)
        await exchange.send_end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(respond)
        for sent in range(10):
            await trio.testing.wait_all_tasks_blocked()
            assert codec.queued(1) == len(PIECE)
            assert exchange.info.bytes_sent == (sent + 1) * len(PIECE)
            codec.receive(frame(8, 0, 1, len(PIECE).to_bytes(4, "big")))
            codec.take_output()
            downstream.ring()
    assert exchange.info.response_complete
    assert codec.streams == 0
