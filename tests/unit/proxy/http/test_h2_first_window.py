"""How much of a response may come before anybody takes it, as streams become many and few again."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
import h2.events

from proxy.config.http2 import Http2Options
from proxy.http.codec_h2_client import H2ClientCodec
from proxy.http.events import DataReceived
from proxy.http.h2_first_window import FRUGAL, GENEROUS, Crowd
from proxy.http.h2_stats import Http2Stats
from proxy.http.headers import Headers
from proxy.stats import MemoryStats


class Pair:
    """Our codec, and a server of the `h2` package."""

    def __init__(self, crowd: Crowd | None = None, **options: Any) -> None:
        self.codec = H2ClientCodec(Http2Options(**options), Http2Stats(MemoryStats()), crowd=crowd)
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.server.initiate_connection()
        self.talk()

    def talk(self) -> list[object]:
        """Until neither has anything to say; what our codec was told."""
        told: list[object] = []
        while True:
            ours, theirs = self.codec.take_output(), b""
            if ours:
                self.server.receive_data(ours)
            theirs = self.server.data_to_send()
            if theirs:
                told += self.codec.receive(theirs)
            if not ours and not theirs:
                return told

    def ask(self, count: int = 1) -> list[int]:
        streams = [self.codec.send_request(b"GET", b"/", b"a.test", Headers(), end_stream=True) for _ in range(count)]
        self.talk()
        return streams

    def answer(self, stream: int, size: int) -> int:
        """Begin a response with `size` bytes of body; how many have come."""
        self.server.send_headers(stream, [(":status", "200")])
        return self.more(stream, size)

    def more(self, stream: int, size: int) -> int:
        size = min(size, self.server.local_flow_control_window(stream))
        if size > 0:
            self.server.send_data(stream, bytes(size))
        return sum(len(event.data) for event in self.talk() if isinstance(event, DataReceived))


def test_few_streams_have_generous_windows() -> None:
    pair = Pair()
    (stream,) = pair.ask()
    assert pair.answer(stream, 1 << 20) == GENEROUS


def test_windows_that_are_configured_to_be_small_stay_as_they_are() -> None:
    pair = Pair(initial_stream_window_size=70000)
    (*_, stream) = pair.ask(90)
    assert pair.server.local_flow_control_window(stream) == 70000


def test_the_streams_of_other_connections_count() -> None:
    crowd = Crowd()
    pair, other = Pair(crowd), Pair(crowd)
    other.ask(100)
    (stream,) = pair.ask()
    assert pair.answer(stream, 1 << 20) == FRUGAL


def test_a_connection_that_ends_takes_its_streams_along() -> None:
    crowd = Crowd()
    pair, other = Pair(crowd), Pair(crowd)
    other.ask(100)
    other.codec.end()
    assert crowd.streams == 0
    (stream,) = pair.ask()
    assert pair.answer(stream, 1 << 20) == GENEROUS


def test_many_streams_have_frugal_windows_which_grow_as_they_are_used_until_they_are_few_again() -> None:
    pair = Pair()
    first, *others = pair.ask(100)
    for stream in (first, others[-1]):  # those that are open have lost what the others are not given
        assert pair.answer(stream, 1 << 20) == FRUGAL
        assert pair.more(stream, 1) == 0
        pair.codec.credit(stream, FRUGAL)
        pair.talk()
        assert pair.more(stream, 1 << 20) == 2 * FRUGAL
    for stream in others[:-1]:
        pair.codec.reset(stream, 0)
    (last,) = pair.ask()
    assert pair.answer(last, 1 << 20) == GENEROUS
    assert pair.more(first, 1 << 20) == GENEROUS - FRUGAL
    assert pair.codec.failure is None


def test_what_was_on_its_way_is_no_offence() -> None:
    pair = Pair()
    (stream,) = pair.ask()
    pair.server.send_headers(stream, [(":status", "200")])
    pair.server.send_data(stream, bytes(GENEROUS))
    for _ in range(90):
        pair.codec.send_request(b"GET", b"/", b"a.test", Headers(), end_stream=True)
    told = pair.talk()
    assert sum(len(event.data) for event in told if isinstance(event, DataReceived)) == GENEROUS
    assert pair.codec.failure is None


def test_no_more_is_taken_than_was_ever_offered() -> None:
    pair = Pair()
    (stream,) = pair.ask()
    assert pair.answer(stream, GENEROUS) == GENEROUS
    head = bytes((0, 0, 1, 0, 0)) + stream.to_bytes(4, "big")
    pair.codec.receive(head + b"x")
    assert pair.codec.take_output()[3] == 3, "RST_STREAM"
