"""Whatever comes, in whatever pieces: the HTTP/2 server codec has one answer, and it is never an exception."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.http2 import Http2Options
from proxy.http.codec_h2_server import H2ServerCodec
from proxy.http.events import RequestReceived
from proxy.http.h2_frames import PREFACE
from proxy.http.h2_stats import Http2Stats
from proxy.http.headers import Headers
from proxy.stats import MemoryStats
from tests.kit.h2_client import frame
from tests.kit.h2_pieces import assert_pieces_do_not_matter

BLOCKS = (
    b"\x82\x86\x84\x01\x04test",
    b"\x83\x86\x84\x01\x04test\x0f\x0d\x015",
    b"\x40\x01a\x01b",
    b"\xbe",
    b"\x00\x01X\x01y",
)
HEAD = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
FRAMES = st.builds(
    frame,
    st.integers(0, 11),
    st.sampled_from([0, 1, 4, 5, 8, 9, 0x20, 0x25, 0x2D, 0xFF]),
    st.sampled_from([0, 1, 2, 3, 5, 7, 2**31 - 1]),
    st.one_of(st.binary(max_size=40), st.sampled_from(BLOCKS), st.just(bytes(4)), st.just(bytes(8)), st.just(bytes(6))),
)
OPENINGS = st.builds(
    lambda stream, block: frame(1, 5, stream, block), st.sampled_from([1, 3, 5]), st.sampled_from(BLOCKS)
)
TRAFFIC = st.lists(st.one_of(OPENINGS, FRAMES), max_size=25).map(b"".join)


def codec() -> H2ServerCodec:
    return H2ServerCodec(Http2Options(allow_connect=True, stream_error=True), Http2Stats(MemoryStats()))


def answer(server: H2ServerCodec, events: list[Any]) -> None:
    for event in events:
        if isinstance(event, RequestReceived):
            server.send_headers(event.stream_id, 200, Headers([(b"a", b"b")]), end_stream=False)
            server.send_data(event.stream_id, bytes(100_000))
            server.send_end(event.stream_id)


@given(traffic=TRAFFIC, cuts=st.lists(st.integers(0, 900), max_size=8))
def test_pieces_do_not_matter_and_nothing_raises(traffic: bytes, cuts: list[int]) -> None:
    assert_pieces_do_not_matter(codec, PREFACE + frame(4) + traffic, cuts)


WINDOWS = st.one_of(
    st.builds(lambda size: frame(8, 0, 0, size.to_bytes(4, "big")), st.integers(1, 200_000)),
    st.builds(lambda size: frame(4, 0, 0, b"\0\x04" + size.to_bytes(4, "big")), st.integers(0, 200_000)),
    st.builds(lambda size: frame(4, 0, 0, b"\0\x05" + size.to_bytes(4, "big")), st.integers(16384, 60_000)),
)


@given(st.lists(st.one_of(st.just(b""), WINDOWS), max_size=12))
def test_what_we_say_is_always_http2(windows: list[bytes]) -> None:
    """Three requests among changes of all windows: the `h2` package's client finds no fault with what comes of them."""
    server = codec()
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    client.initiate_connection()
    server.receive(client.data_to_send())
    streams = 0
    for window in [b"", *windows]:  # a request first: who only opens windows is none we serve for long
        if window:
            # The client is told what it has said, as far as it minds.
            server.receive(window)
            number, value = window[10], int.from_bytes(window[-4:], "big")
            if window[3] == 8:
                client._inbound_flow_control_window_manager.window_opened(value)
            elif number == 4:
                client.update_settings({4: value})
                client._local_settings_acked()
            else:
                client.local_settings[5] = value
                client._local_settings_acked()
            client.clear_outbound_data_buffer()
        elif streams < 3:
            streams += 1
            client.send_headers(client.get_next_available_stream_id(), [*HEAD], end_stream=True)
            answer(server, server.receive(client.data_to_send()))
        while server.has_output:
            client.receive_data(server.take_output())
            client.clear_outbound_data_buffer()
    assert server.failure is None
    server.end()
    assert server.stats.pending_send_bytes.value == 0  # type: ignore[attr-defined]


@given(st.data())
def test_both_read_the_same_requests(data: st.DataObject) -> None:
    """Ours and the `h2` package's server, given the same client."""
    names = st.sampled_from(["x", "accept", "cookie", "user-agent"])
    fields = st.lists(st.tuples(names, st.sampled_from(["1", "a b", "z" * 50])), max_size=5)
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    theirs = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    ours = codec()
    theirs.initiate_connection()
    for number in range(data.draw(st.integers(1, 6))):
        head = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", f"/{number % 2}")]
        client.send_headers(client.get_next_available_stream_id(), [*head, *data.draw(fields)], end_stream=True)
        sent = client.data_to_send()
        found = [event for event in ours.receive(sent) if isinstance(event, RequestReceived)]
        expected = [e.headers for e in theirs.receive_data(sent) if type(e).__name__ == "RequestReceived"]
        assert len(found) == len(expected) == 1
        plain = [pair for pair in expected[0] if pair[0][:1] != b":" and pair[0] != b"cookie"]
        assert [pair for pair in found[0].headers if pair[0] != b"cookie"] == plain
        assert found[0].path == dict(expected[0])[b":path"]
