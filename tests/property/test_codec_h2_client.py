"""Whatever a server says, in whatever pieces: the HTTP/2 client codec has one answer, and it is never an exception."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.http2 import Http2Options
from proxy.http.codec_h2_client import H2ClientCodec
from proxy.http.events import DataReceived, ResponseReceived, StreamEnded, StreamReset
from proxy.http.h2_stats import Http2Stats
from proxy.http.headers import Headers
from proxy.stats import MemoryStats
from tests.kit.h2_client import frame
from tests.kit.h2_pieces import assert_pieces_do_not_matter

BLOCKS = (
    b"\x88",
    b"\x88\x0f\x0d\x015",
    b"\x8d",
    b"\x08\x03103",
    b"\x40\x01a\x01b",
    b"\x88\xbe",
    b"\x88\x00\x01X\x01y",
)
FRAMES = st.builds(
    frame,
    st.integers(0, 11),
    st.sampled_from([0, 1, 4, 5, 8, 9, 0x20, 0x25, 0x2D, 0xFF]),
    st.sampled_from([0, 1, 2, 3, 5, 7, 2**31 - 1]),
    st.one_of(st.binary(max_size=40), st.sampled_from(BLOCKS), st.just(bytes(4)), st.just(bytes(8)), st.just(bytes(6))),
)
ANSWERS = st.builds(
    lambda flags, stream, block: frame(1, flags, stream, block),
    st.sampled_from([4, 5]),
    st.sampled_from([1, 3, 5]),
    st.sampled_from(BLOCKS),
)
DATA = st.builds(lambda flags, stream, data: frame(0, flags, stream, data), st.integers(0, 1), st.just(1), st.binary())
TRAFFIC = st.lists(st.one_of(ANSWERS, DATA, FRAMES), max_size=25).map(b"".join)
GET = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]


def codec(**options: Any) -> H2ClientCodec:
    return H2ClientCodec(Http2Options(stream_error=True, **options), Http2Stats(MemoryStats()))


def asking() -> H2ClientCodec:
    """Three requests have gone out; the last one's body has not."""
    client = codec()
    client.receive(frame(4))
    for end in (True, True, False):
        client.send_request(b"GET", b"/", b"a", Headers(), end_stream=end)
    client.take_output()
    return client


@given(traffic=TRAFFIC, cuts=st.lists(st.integers(0, 900), max_size=8))
def test_pieces_do_not_matter_and_nothing_raises(traffic: bytes, cuts: list[int]) -> None:
    assert_pieces_do_not_matter(asking, traffic, cuts)


@given(traffic=TRAFFIC)
def test_a_stream_has_one_head_and_one_end(traffic: bytes) -> None:
    """And nothing comes behind it, or before its head."""
    heads, ended = set[int](), set[int]()
    for event in asking().receive(traffic):
        stream = event.stream_id
        if isinstance(event, StreamReset):
            assert stream not in ended or stream == 5, "only the one whose request is not complete is still there"
            ended.add(stream)
        elif isinstance(event, ResponseReceived):
            assert stream not in heads | ended
            heads.add(stream)
            if event.end_stream:
                ended.add(stream)
        elif isinstance(event, DataReceived | StreamEnded):
            assert stream in heads - ended
            if isinstance(event, StreamEnded):
                ended.add(stream)


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([b"GET", b"POST", b"HEAD"]),
        st.lists(
            st.tuples(st.sampled_from([b"x", b"accept", b"te"]), st.sampled_from([b"1", b"trailers"])), max_size=4
        ),
        st.lists(st.integers(1, 20_000), max_size=3),
        st.booleans(),
    ),
    max_size=3,
)


@given(REQUESTS, st.integers(2000, 50_000))
def test_the_package_understands_what_we_say(requests: list[Any], window: int) -> None:
    """Requests, bodies within the server's windows, and trailers, as the `h2` package's server sees them."""
    client = codec()
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    codes = h2.settings.SettingCodes
    server.local_settings = h2.settings.Settings(client=False, initial_values={codes.INITIAL_WINDOW_SIZE: window})
    server.initiate_connection()
    events: list[Any] = []

    def exchange() -> None:
        while client.has_output or server._data_to_send:
            events.extend(found := server.receive_data(client.take_output()))
            for event in found:
                if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                    server.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            assert client.receive(server.data_to_send()) == []

    exchange()
    for method, fields, pieces, trailed in requests:
        stream = client.send_request(method, b"/", b"a", Headers(fields), end_stream=not (pieces or trailed))
        for size in pieces:
            client.send_data(stream, bytes(size))
        if pieces or trailed:
            client.send_end(stream, Headers([(b"sum", b"1")]) if trailed else None)
        exchange()
        mine = [event for event in events if getattr(event, "stream_id", None) == stream]
        (head,) = [event for event in mine if isinstance(event, h2.events.RequestReceived)]
        expected = [pair for pair in fields if pair[0] != b"te" or pair[1] == b"trailers"]
        assert [pair for pair in head.headers if pair[0][:1] != b":"] == expected
        assert sum(len(event.data) for event in mine if isinstance(event, h2.events.DataReceived)) == sum(pieces)
        assert any(isinstance(event, h2.events.TrailersReceived) for event in mine) == trailed
        assert any(isinstance(event, h2.events.StreamEnded) for event in mine)
        events.clear()
    assert client.failure is None
    client.end()
    assert client.stats.pending_send_bytes.value == 0  # type: ignore[attr-defined]


@given(st.lists(st.lists(st.sampled_from(["x", "accept", "set-cookie"]), max_size=5), min_size=1, max_size=6))
def test_both_read_the_same_responses(answers: list[list[str]]) -> None:
    """Ours and the `h2` package's client, given the same server."""
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    theirs = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    ours = codec()
    server.initiate_connection()
    theirs.initiate_connection()
    server.receive_data(theirs.data_to_send())
    for number, names in enumerate(answers):
        stream = 2 * number + 1
        ours.send_request(b"GET", b"/", b"a", Headers(), end_stream=True)
        theirs.send_headers(
            stream, [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")], True
        )
        server.receive_data(theirs.data_to_send())
        server.send_headers(stream, [(":status", "200"), *((name, str(number % 2)) for name in names)], end_stream=True)
        sent = server.data_to_send()
        (found,) = [event for event in ours.receive(sent) if isinstance(event, ResponseReceived)]
        (expected,) = [
            event.headers for event in theirs.receive_data(sent) if isinstance(event, h2.events.ResponseReceived)
        ]
        assert found.headers.items == [tuple(pair) for pair in expected[1:]]
