"""What a peer makes a connection do: no more for a thousand streams, or values, than for one."""

from __future__ import annotations

import pytest

from proxy.config.http2 import Http2Options
from proxy.http.codec_h2_client import H2ClientCodec
from proxy.http.events import RequestReceived, StreamReset
from proxy.http.h2_frames import PREFACE, ErrorCode
from proxy.http.h2_sender import MAX_OUTPUT
from proxy.http.h2_stats import Http2Stats
from proxy.http.headers import Headers
from proxy.stats import MemoryStats
from tests.kit.h2_client import frame
from tests.unit.proxy.http.h2_helpers import HEAD_BLOCK, SETTINGS, begun, frames

INITIAL_WINDOW = b"\0\x04"


def setting(name: bytes, value: int) -> bytes:
    return name + value.to_bytes(4, "big")


def increment(stream: int, by: int) -> bytes:
    return frame(8, 0, stream, by.to_bytes(4, "big"))


def test_bytes_of_a_stream_that_came_and_went_in_one_piece_are_known() -> None:
    codec = begun()
    reset = frame(3, 0, 1, ErrorCode.CANCEL.to_bytes(4, "big"))
    began, gone = codec.receive(frame(1, 5, 1, HEAD_BLOCK) + reset)
    assert (type(began), type(gone)) == (RequestReceived, StreamReset)
    assert codec.meter(1).received == 9 + len(HEAD_BLOCK) + 13  # the reset is one of its frames, as in Envoy
    began, gone = codec.receive(frame(1, 5, 3, HEAD_BLOCK) + frame(0, 0, 3, b"x"))  # which we have to reset
    assert (type(began), type(gone)) == (RequestReceived, StreamReset)
    assert codec.meter(3).received == 9 + len(HEAD_BLOCK)


@pytest.mark.parametrize("number", [32, 33])
def test_values_of_one_settings_frame(number: int) -> None:
    codec = begun()
    codec.receive(frame(4, 0, 0, setting(INITIAL_WINDOW, 5) * number))
    assert (codec.failure is None) is (number == 32)
    assert frames(codec.take_output())[-1] == ((4, 1, 0, b"") if number == 32 else (7, 0, 0, b"\0\0\0\0\0\0\0\x0b"))


def test_the_last_initial_window_of_a_frame_is_that_of_all_streams() -> None:
    codec = begun()
    codec.receive(frame(1, 5, 1, HEAD_BLOCK))
    codec.receive(
        frame(4, 0, 0, setting(INITIAL_WINDOW, 7) + setting(INITIAL_WINDOW, 100) + setting(INITIAL_WINDOW, 9))
    )
    assert codec.room(1) == 9
    codec.receive(frame(4, 0, 0, setting(INITIAL_WINDOW, 1 << 31) + setting(INITIAL_WINDOW, 9)))
    assert codec.failure is not None


def test_the_connections_window_is_shared_in_turns() -> None:
    codec = begun()
    for stream in (1, 3, 5):
        codec.receive(frame(1, 5, stream, HEAD_BLOCK))
        codec.send_headers(stream, 200, Headers(), end_stream=False)
    codec.receive(frame(4, 0, 0, setting(INITIAL_WINDOW, 1 << 20)))
    codec.send_data(1, bytes(65535))
    codec.take_output()
    for stream in (1, 3, 5):
        codec.send_data(stream, b"abc")
    turns = []
    for _ in range(9):
        codec.receive(increment(0, 1))
        ((kind, _, stream, payload),) = frames(codec.take_output())
        assert (kind, len(payload)) == (0, 1)
        turns.append(stream)
    assert turns == [1, 3, 5] * 3
    assert codec.queued(1) == codec.queued(3) == codec.queued(5) == 0


def test_who_has_no_window_is_not_asked() -> None:
    """Until it gets one; and a window that shrinks, and is negative for a while, is one that grows again."""
    codec = begun()
    codec.receive(frame(4, 0, 0, setting(INITIAL_WINDOW, 2)))
    for stream in (1, 3):
        codec.receive(frame(1, 5, stream, HEAD_BLOCK))
        codec.send_headers(stream, 200, Headers(), end_stream=False)
        codec.send_data(stream, b"abcdef")
    assert not codec._blocked
    codec.take_output()
    codec.receive(frame(4, 0, 0, setting(INITIAL_WINDOW, 0)) + increment(1, 1))
    assert not codec._blocked
    codec.take_output()
    codec.receive(increment(1, 4) + frame(4, 0, 0, setting(INITIAL_WINDOW, 6)))
    sent = {1: b"", 3: b""}
    for kind, _, stream, payload in frames(codec.take_output()):
        if kind == 0:
            sent[stream] += payload
    assert sent == {1: b"cdef", 3: b"cdef"}


def test_heads_that_nobody_reads_have_a_bound_whoever_sends_them() -> None:
    """The client need not send anything more for its connection to end."""
    codec = begun()
    head = Headers([(b"x", b"y" * 16000)])
    streams = range(1, 2 * (MAX_OUTPUT // 16000 + 2), 2)
    for stream in streams:
        codec.receive(frame(1, 5, stream, HEAD_BLOCK))
    for stream in streams:
        if codec.failure is None:
            assert codec.output_size <= MAX_OUTPUT
        codec.send_headers(stream, 200, head, end_stream=True)
    assert codec.failure is not None
    assert codec.stats._floods["outbound_flood"].value == 1  # type: ignore[attr-defined]
    assert 7 in [kind for kind, *_ in frames(codec.take_output())]


def test_a_large_window_is_given_to_a_server_as_it_is_used() -> None:
    """Who does not take what comes holds 16 KiB, not 16 MiB."""
    codec = H2ClientCodec(Http2Options(), Http2Stats(MemoryStats()))
    announced = frames(codec.take_output()[len(PREFACE) :])[0][3]
    assert setting(INITIAL_WINDOW, 16384) in announced
    codec.receive(SETTINGS)
    stream = codec.send_request(b"GET", b"/", b"test", Headers(), end_stream=True)
    codec.take_output()
    codec.receive(frame(1, 4, stream, b"\x88"))
    room, given = 16384, []
    while room < 1 << 24:
        codec.receive(frame(0, 0, stream, bytes(16384)))
        room -= 16384
        codec.credit(stream, 16384)
        for kind, _, number, payload in frames(codec.take_output()):
            if kind == 8 and number == stream:
                given.append(int.from_bytes(payload, "big"))
                room += given[-1]
        assert 16384 <= room <= 1 << 24
    assert given[:3] == [32768, 49152, 98304]
    assert codec.failure is None


def test_a_window_that_is_not_large_is_given_at_once() -> None:
    codec = H2ClientCodec(Http2Options(initial_stream_window_size=1 << 20), Http2Stats(MemoryStats()))
    assert setting(INITIAL_WINDOW, 1 << 20) in codec.take_output()


def test_requests_that_are_refused_are_remembered_for_a_while_only() -> None:
    codec = begun(max_concurrent_streams=1)
    for stream in range(1, 2001, 2):
        codec.receive(frame(1, 5, stream, HEAD_BLOCK))
        codec.take_output()
    assert codec.failure is None
    assert list(codec._over) == list(range(2001 - 2 * 512, 2001, 2))
