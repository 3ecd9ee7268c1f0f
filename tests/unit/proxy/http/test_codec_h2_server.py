"""The HTTP/2 server codec against the `h2` package's client, and against raw frames (RFC 9113)."""

from __future__ import annotations

from typing import Any

import h2.events
import pytest

from proxy.http.codec import CodecError
from proxy.http.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from proxy.http.h2_frames import PREFACE, ErrorCode
from proxy.http.h2_sender import OUTPUT_LIMIT
from proxy.http.headers import Headers
from tests.kit.h2_client import frame
from tests.unit.proxy.http.h2_helpers import GET, HEAD_BLOCK, POST, SETTINGS, Pair, begun, frames, server, value

OK = Headers([(b"content-type", b"text/plain")])


def data_of(events: list[Any]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, h2.events.DataReceived))


def test_a_request_and_its_response() -> None:
    pair = Pair()
    stream, events = pair.request([*GET, ("x", "y")])
    assert events == [
        RequestReceived(stream, b"GET", b"http", b"test", b"/", "HTTP/2", Headers([(b"x", b"y")]), end_stream=True)
    ]
    pair.server.send_headers(stream, 200, OK, end_stream=False)
    pair.server.send_data(stream, b"hello")
    pair.server.send_end(stream)
    head, data, end = pair.down()
    assert head.headers == [(":status", "200"), ("content-type", "text/plain")]
    assert (data.data, end.stream_id) == (b"hello", stream)
    assert not pair.server.streams


def test_the_end_stands_on_the_last_data_frame_if_that_has_not_gone_yet() -> None:
    codec = begun()
    codec.receive(frame(1, 5, 1, HEAD_BLOCK))
    codec.send_headers(1, 200, OK, end_stream=False)
    codec.send_data(1, b"hello")
    codec.send_end(1)
    assert [found[:3] for found in frames(codec.take_output())] == [(1, 4, 1), (0, 1, 1)]
    codec.receive(frame(1, 5, 3, HEAD_BLOCK))
    codec.send_headers(3, 200, OK, end_stream=False)
    codec.send_data(3, b"hello")
    codec.take_output()
    codec.send_end(3)
    assert [found[:3] for found in frames(codec.take_output())] == [(0, 1, 3)]


def test_bodies_and_trailers_both_ways() -> None:
    pair = Pair()
    stream, _ = pair.request(POST, end=False)
    pair.client.send_data(stream, b"up")
    pair.client.send_headers(stream, [("sum", "1"), ("content-length", "9")], end_stream=True)
    assert pair.up() == [DataReceived(stream, b"up"), StreamEnded(stream, Headers([(b"sum", b"1")]))]
    pair.server.send_headers(stream, 200, OK, end_stream=False)
    pair.server.send_data(stream, b"down")
    pair.server.send_end(stream, Headers([(b"grpc-status", b"0")]))
    trailers = [event for event in pair.down() if isinstance(event, h2.events.TrailersReceived)]
    assert trailers[0].headers == [("grpc-status", "0")]


def test_a_response_of_headers_alone() -> None:
    pair = Pair()
    stream, _ = pair.request()
    pair.server.send_headers(stream, 200, OK, end_stream=True)
    assert [type(event) for event in pair.down()] == [h2.events.ResponseReceived, h2.events.StreamEnded]


def test_a_long_body_waits_for_windows_and_tells_when_it_has_gone() -> None:
    pair = Pair()
    stream, _ = pair.request()
    pair.server.send_headers(stream, 200, OK, end_stream=False)
    pair.server.send_data(stream, bytes(100_000))
    pair.server.send_end(stream)
    received = [event for event in pair.down() if isinstance(event, h2.events.DataReceived)]
    assert sum(len(event.data) for event in received) == 65535
    assert pair.server.queued(stream) == value(pair.server, "pending_send_bytes") == 100_000 - 65535
    assert pair.server.drained == []
    pair.client.increment_flow_control_window(50_000, stream)
    pair.client.increment_flow_control_window(50_000)
    pair.up()
    assert pair.server.drained == [stream]
    assert value(pair.server, "pending_send_bytes") == 0
    assert isinstance(pair.down()[-1], h2.events.StreamEnded)


def test_streams_take_turns_in_a_window_that_is_too_small_for_both() -> None:
    pair = Pair()
    streams = [pair.request()[0] for _ in range(2)]
    for stream in streams:
        pair.server.send_headers(stream, 200, OK, end_stream=False)
    pair.down()
    for stream in streams:
        pair.client.increment_flow_control_window(1 << 20, stream)
    pair.up()
    for stream in streams:
        pair.server.send_data(stream, bytes(200_000))
    pair.down()
    pair.client.increment_flow_control_window(100_000)
    pair.up()
    shares = dict.fromkeys(streams, 0)
    for event in pair.down():
        if isinstance(event, h2.events.DataReceived):
            shares[event.stream_id] += len(event.data)
    assert sum(shares.values()) == 100_000
    assert abs(shares[streams[0]] - shares[streams[1]]) <= 16384


def test_the_output_has_a_bound_however_large_the_windows() -> None:
    codec = begun()
    codec.receive(frame(4, 0, 0, b"\x00\x04\x7f\xff\xff\xff") + frame(8, 0, 0, (1 << 30).to_bytes(4, "big")))
    codec.receive(frame(1, 5, 1, HEAD_BLOCK))
    codec.send_headers(1, 200, OK, end_stream=False)
    codec.send_data(1, bytes(1 << 20))
    taken = [len(codec.take_output())]
    assert codec.queued(1)
    while codec.has_output:
        taken.append(len(codec.take_output()))
    assert max(taken) <= OUTPUT_LIMIT + 16384
    assert sum(taken) > 1 << 20


def test_windows_are_given_back_when_the_body_is_used_up() -> None:
    pair = Pair(initial_stream_window_size=65535, initial_connection_window_size=65535)
    stream, _ = pair.request(POST, end=False)
    for _ in range(4):
        pair.client.send_data(stream, bytes(16000))
        pair.up()
    assert pair.down() == []
    pair.server.credit(stream, 64000)
    updates = [event for event in pair.down() if isinstance(event, h2.events.WindowUpdated)]
    assert {(update.stream_id, update.delta) for update in updates} == {(0, 64000), (stream, 64000)}


def test_more_than_the_window_is_an_error() -> None:
    codec = begun(initial_stream_window_size=65535, initial_connection_window_size=65535)
    codec.receive(frame(1, 4, 1, b"\x83\x86\x84\x01\x04test"))
    codec.receive(frame(0, 0, 1, bytes(16384)) * 4)
    assert codec.failure is not None
    assert frames(codec.take_output())[-1] == (7, 0, 0, b"\0\0\0\x01\0\0\0\x03")


def test_a_reset_of_the_client() -> None:
    pair = Pair()
    stream, _ = pair.request()
    pair.client.reset_stream(stream, ErrorCode.CANCEL)
    assert pair.up() == [StreamReset(stream, ErrorCode.CANCEL)]
    pair.server.send_headers(stream, 200, OK, end_stream=True)  # nobody is left to hear it
    assert pair.down() == []
    assert value(pair.server, "rx_reset") == 1
    assert value(pair.server, "streams_active") == 0


def test_our_reset_and_what_was_on_its_way() -> None:
    pair = Pair()
    stream, _ = pair.request(POST, end=False)
    pair.server.reset(stream, ErrorCode.NO_ERROR)
    pair.client.send_data(stream, b"late", end_stream=True)
    assert pair.up() == []
    assert isinstance(pair.down()[0], h2.events.StreamReset)
    assert pair.server.failure is None


def test_no_more_streams_than_allowed() -> None:
    pair = Pair(max_concurrent_streams=1)
    pair.request()
    pair.client.remote_settings[3] = 100
    pair.client.remote_settings.acknowledge()
    stream, events = pair.request()
    assert events == [StreamReset(stream, ErrorCode.REFUSED_STREAM, True, "http2.refused")]
    assert pair.down()[0].error_code == ErrorCode.REFUSED_STREAM


def test_a_drain_in_two_steps() -> None:
    pair = Pair()
    first, _ = pair.request()
    pair.server.send_goaway(notice=True)
    assert [frame[3] for frame in frames(pair.server.take_output())] == [b"\x7f\xff\xff\xff\0\0\0\0"]
    second, events = pair.request()
    assert isinstance(events[0], RequestReceived)
    pair.server.send_goaway()
    assert [frame[3] for frame in frames(pair.server.take_output())] == [second.to_bytes(4, "big") + bytes(4)]
    assert pair.request()[1][0] == StreamReset(5, ErrorCode.REFUSED_STREAM, True, "http2.refused")
    pair.server.send_headers(first, 200, OK, end_stream=True)
    assert pair.server.streams == 1


def test_expect_continue() -> None:
    pair = Pair()
    stream, events = pair.request([*POST, ("expect", "100-continue")], end=False)
    assert isinstance(events[0], RequestReceived)
    assert events[0].expect_continue
    pair.server.send_informational(stream, 100, Headers())
    assert pair.down()[0].headers == [(":status", "100")]


def test_a_response_never_carries_what_is_the_connections() -> None:
    pair = Pair()
    stream, _ = pair.request()
    pair.server.send_headers(stream, 200, Headers([(b"connection", b"close"), (b"x", b"y")]), end_stream=True)
    assert pair.down()[0].headers == [(":status", "200"), ("x", "y")]


@pytest.mark.parametrize(
    ("status", "field"), [(200, (b"x", b"a\r\nb")), (200, (b"X", b"a")), (1000, (b"x", b"y")), (101, (b"x", b"y"))]
)
def test_a_response_that_must_not_be_written(status: int, field: tuple[bytes, bytes]) -> None:
    pair = Pair()
    stream, _ = pair.request()
    with pytest.raises(CodecError):
        pair.server.send_headers(stream, status, Headers([field]), end_stream=True)
    assert not pair.server.has_output


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_content_has_none(status: int) -> None:
    pair = Pair()
    stream, _ = pair.request()
    pair.server.send_headers(stream, status, Headers(), end_stream=False)
    pair.server.send_data(stream, b"no")
    pair.server.send_end(stream)
    assert not data_of(pair.down())


def test_head_has_no_content() -> None:
    pair = Pair()
    stream, _ = pair.request([(":method", "HEAD"), *GET[1:]])
    pair.server.send_headers(stream, 200, Headers([(b"content-length", b"5")]), end_stream=False)
    pair.server.send_data(stream, b"hello")
    pair.server.send_end(stream)
    assert not data_of(pair.down())


def test_a_long_header_block_has_continuations_both_ways() -> None:
    pair = Pair()
    stream, events = pair.request([*GET, *((f"x{number}", str(number) * 3000) for number in range(15))])
    assert isinstance(events[0], RequestReceived)
    assert len(events[0].headers) == 15
    long = Headers((b"y%d" % number, b"z" * 9000) for number in range(6))
    pair.server.send_headers(stream, 200, long, end_stream=True)
    assert len(pair.down()[0].headers) == 7


def test_the_first_bytes_must_be_the_preface_however_they_are_cut() -> None:
    codec = server()
    for byte in PREFACE + SETTINGS + frame(1, 5, 1, HEAD_BLOCK):
        events = codec.receive(bytes((byte,)))
    assert isinstance(events[0], RequestReceived)
    other = server()
    other.receive(b"GET / HTTP/1.1\r\n")
    assert other.failure is not None
    assert other.failure.detail == "http2.bad_client_magic"


def test_a_repeated_block_means_the_same_and_headers_are_the_requests_own() -> None:
    pair = Pair()
    fields = [*GET, ("user-agent", "a"), ("accept", "b")]
    seen = []
    for _ in range(4):
        stream, events = pair.request(fields)
        assert isinstance(events[0], RequestReceived)
        events[0].headers.add(b"added", b"1")
        events[0].headers.set(b"accept", b"changed")
        seen.append(events[0].headers.items)
        pair.server.send_headers(stream, 200, OK, end_stream=True)
        pair.down()
    assert seen == [[(b"user-agent", b"a"), (b"accept", b"changed"), (b"added", b"1")]] * 4
