"""What one stream's exchange and its connection say to each other."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from proxy.config.http2 import Http2Options
from proxy.http.codec_h2_server import H2ServerCodec
from proxy.http.events import DataReceived, StreamEnded
from proxy.http.h2_channel import H2Channel
from proxy.http.h2_frames import PREFACE
from proxy.http.h2_stats import Http2Stats
from proxy.http.headers import Headers
from proxy.stats import MemoryStats
from tests.kit.h2_client import frame
from tests.kit.trio import run_trio
from tests.unit.proxy.http.h2_helpers import HEAD_BLOCK


class Link:
    """A connection of which nobody writes."""

    def wake_writer(self) -> None:
        pass


def channel(window: int = 65535) -> H2Channel:
    codec = H2ServerCodec(Http2Options(), Http2Stats(MemoryStats()))
    settings = frame(4, 0, 0, b"\0\x04" + window.to_bytes(4, "big"))
    codec.receive(PREFACE + settings + frame(1, 4, 1, HEAD_BLOCK))
    codec.send_headers(1, 200, Headers(), end_stream=False)
    codec.take_output()
    return H2Channel(Link(), codec, 1)


@run_trio
async def test_one_task_may_wait_for_windows_while_another_waits_for_data() -> None:
    stream = channel(window=1)
    stream.codec.send_data(1, b"ab")
    heard: list[str] = []

    async def read() -> None:
        assert await stream.receive() == DataReceived(1, b"x")
        heard.append("data")

    async def write() -> None:
        await stream.flush()
        heard.append("sent")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        stream.put(DataReceived(1, b"x"))
        await trio.testing.wait_all_tasks_blocked()
        assert heard == ["data"]
        stream.codec.receive(frame(8, 0, 1, b"\0\0\0\x01"))
        stream.ring()
    assert heard == ["data", "sent"]


@run_trio
async def test_what_came_before_the_end_is_still_read() -> None:
    stream = channel()
    stream.put(DataReceived(1, b"abc"))
    stream.fail(RuntimeError("gone"))
    assert await stream.receive(2) == DataReceived(1, b"ab")
    assert await stream.receive(2) == DataReceived(1, b"c")
    with pytest.raises(RuntimeError, match="gone"):
        await stream.receive()
    await stream.flush()  # nobody waits for windows of a stream that is over


@run_trio
async def test_a_message_that_is_whole_and_short() -> None:
    stream = channel()
    stream.put(DataReceived(1, b"abc"))
    assert stream.pending
    assert not stream.whole_within(3)
    stream.put(StreamEnded(1))
    assert stream.whole_within(3)
    assert not stream.whole_within(2)
