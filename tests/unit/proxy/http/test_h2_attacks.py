"""Floods and broken frames against the server codec: each meets its limit, and the limit is not met by who behaves.

Numbers are those of the attack list (rows 27 to 34).
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import hpack
import pytest

from proxy.http.codec_h2_server import H2ServerCodec
from proxy.http.h2_frames import ErrorCode
from proxy.http.headers import Headers
from tests.kit.h2_client import frame
from tests.unit.proxy.http.h2_helpers import HEAD_BLOCK, POST_BLOCK, begun, frames, value

PING = frame(6, 0, 0, bytes(8))
SETTINGS = frame(4, 0, 0, b"\0\x04\0\0\xff\xff")
PRIORITY = frame(2, 0, 3, bytes(5))


def code_of(codec: H2ServerCodec) -> int:
    """The code of the GOAWAY with which the codec gave up."""
    assert codec.failure is not None
    kind, _, _, payload = frames(codec.take_output())[-1]
    assert kind == 7
    return int.from_bytes(payload[4:], "big")


def opened(**options: int) -> H2ServerCodec:
    """A codec with a request whose body is still to come on stream 1."""
    codec = begun(**options)
    codec.receive(frame(1, 4, 1, POST_BLOCK))
    return codec


def test_rapid_reset_28() -> None:
    codec = begun()
    for number in range(300):
        stream = 2 * number + 1
        codec.receive(frame(1, 5, stream, HEAD_BLOCK) + frame(3, 0, stream, bytes(4)), 100.0)
        if codec.failure:
            break
    assert number + 1 == 250
    assert code_of(codec) == ErrorCode.ENHANCE_YOUR_CALM
    assert codec.failure is not None
    assert codec.failure.detail == "too_many_premature_resets"


def test_rapid_reset_in_one_piece_stops_where_it_must() -> None:
    codec = begun()
    pairs = (frame(1, 5, 2 * n + 1, HEAD_BLOCK) + frame(3, 0, 2 * n + 1, bytes(4)) for n in range(3000))
    events = codec.receive(b"".join(pairs))
    assert len(events) == 2 * 250
    assert codec.streams == 0


def test_resets_after_a_while_or_after_the_answer_are_no_attack() -> None:
    codec = begun()
    for number in range(600):
        stream = 2 * number + 1
        codec.receive(frame(1, 5, stream, HEAD_BLOCK), number)
        if number % 2:
            codec.send_headers(stream, 200, Headers(), end_stream=False)
            codec.receive(frame(3, 0, stream, bytes(4)), number)
        else:
            codec.receive(frame(3, 0, stream, bytes(4)), number + 2)
        codec.take_output()
    assert codec.failure is None


@pytest.mark.parametrize(
    "fault",
    [
        lambda stream: frame(1, 5, stream, HEAD_BLOCK) + frame(0, 0, stream, b"x"),
        lambda stream: frame(1, 4, stream, POST_BLOCK) + frame(8, 0, stream, bytes(4)),
        lambda stream: frame(1, 5, stream, HEAD_BLOCK + b"\x00\x01x\x01y" * 101),
    ],
    ids=["data", "window", "headers"],
)
def test_resets_that_we_are_made_to_send_29(fault: Callable[[int], bytes]) -> None:
    """Envoy counts them as those that the client sends itself."""
    codec = begun()
    for number in range(300):
        codec.receive(fault(2 * number + 1))
        codec.take_output()
        if codec.failure:
            break
    assert number + 1 == 250
    assert codec.failure is not None
    assert codec.failure.detail == "too_many_premature_resets"
    assert 249 <= value(codec, "tx_reset") <= 250


def test_resets_of_what_is_over_29() -> None:
    codec = begun()
    codec.receive(frame(1, 5, 1, HEAD_BLOCK))
    codec.send_headers(1, 204, Headers(), end_stream=True)
    for _ in range(2000):
        codec.receive(frame(0, 0, 1, b"x"))
        if codec.failure:
            break
        codec.take_output()
    assert value(codec, "tx_reset") == 1000  # and one answer was that to the client's SETTINGS


def test_a_second_head_for_a_stream_that_we_have_reset_31() -> None:
    """One may have been on its way, and must be read, as it may change the table."""
    codec = begun()
    codec.receive(frame(1, 4, 1, POST_BLOCK) + frame(8, 0, 1, bytes(4)))
    codec.receive(frame(1, 5, 1, b"\x90" * 1000))
    assert codec.failure is None
    codec.receive(frame(1, 5, 1, b"\x90" * 1000))
    assert code_of(codec) == ErrorCode.STREAM_CLOSED


@pytest.mark.parametrize("payload", [b"", b"\x00"])
def test_continuation_flood_30(payload: bytes) -> None:
    codec = begun()
    codec.receive(frame(1, 1, 1, HEAD_BLOCK) + frame(9, 0, 1, payload) * 100)
    assert code_of(codec) == ErrorCode.ENHANCE_YOUR_CALM


def test_a_header_block_without_an_end_is_bounded_30() -> None:
    codec = begun()
    tracemalloc.start()
    for _ in range(100):
        codec.receive(frame(9 if codec._block else 1, 0, 1, bytes(16384)))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert codec.failure is not None


def test_hpack_bomb_31() -> None:
    """One entry of 4 KiB in the table, then named a byte at a time."""
    encoder = hpack.Encoder()
    first = HEAD_BLOCK + encoder.encode([("x", "y" * 3900)], huffman=False)
    codec = begun()
    codec.receive(frame(1, 5, 1, first))
    tracemalloc.start()
    codec.receive(frame(1, 5, 3, HEAD_BLOCK + b"\xbe" * 16000))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert code_of(codec) == ErrorCode.COMPRESSION_ERROR


def test_crumbs_of_cookies_count_31() -> None:
    codec = begun(max_headers_count=100)
    crumb = b"\x00\x06cookie\x01a"
    codec.receive(frame(1, 5, 1, HEAD_BLOCK + crumb * 200))
    assert value(codec, "header_overflow") == 1
    assert frames(codec.take_output()) == [(3, 0, 1, b"\0\0\0\x02")]
    assert codec.receive(frame(1, 5, 3, HEAD_BLOCK)) != []


@pytest.mark.parametrize("flood", [PING, SETTINGS], ids=["ping", "settings"])
def test_frames_that_ask_for_an_answer_32(flood: bytes) -> None:
    unread = begun()
    unread.receive(flood * 3000)
    assert code_of(unread) == ErrorCode.ENHANCE_YOUR_CALM
    assert value(unread, "goaway_sent") == 1
    read = begun()
    for _ in range(3000):
        read.receive(flood, 5.5)
        if read.failure:
            break
        read.take_output()
    assert read.failure is not None
    slow = begun()
    for second in range(3000):
        slow.receive(flood, second)
        slow.take_output()
    assert slow.failure is None


@pytest.mark.parametrize("limit", [1, 5])
def test_empty_data_32(limit: int) -> None:
    codec = opened(max_consecutive_inbound_frames_with_empty_payload=limit)
    codec.receive((frame(0, 0, 1) * limit + frame(0, 0, 1, b"x")) * 3)
    assert codec.failure is None
    codec.receive(frame(0, 0, 1) * (limit + 1))
    assert code_of(codec) == ErrorCode.ENHANCE_YOUR_CALM
    assert codec.stats._floods["inbound_empty_frames_flood"].value == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("limit", [2, 100])
def test_priority_32(limit: int) -> None:
    codec = opened(max_inbound_priority_frames_per_stream=limit)
    codec.receive(PRIORITY * (2 * limit))
    assert codec.failure is None
    codec.receive(PRIORITY)
    assert code_of(codec) == ErrorCode.ENHANCE_YOUR_CALM


def test_window_updates_32() -> None:
    update = frame(8, 0, 0, b"\0\0\0\x01")
    codec = opened(max_inbound_window_update_frames_per_data_frame_sent=1)
    codec.receive(update * 7)
    assert codec.failure is None
    codec.receive(update)
    assert code_of(codec) == ErrorCode.ENHANCE_YOUR_CALM


def test_window_updates_for_data_that_was_sent_are_free() -> None:
    codec = opened(max_inbound_window_update_frames_per_data_frame_sent=10)
    codec.send_headers(1, 200, Headers(), end_stream=False)
    for _ in range(5):
        codec.send_data(1, b"x")
    codec.receive(frame(8, 0, 0, b"\0\0\0\x01") * (5 + 2 * (1 + 10 * 5)))
    assert codec.failure is None


def test_unsent_answers_have_a_bound_32() -> None:
    codec = begun(max_outbound_control_frames=10)
    codec.receive(PING * 10)
    assert codec.failure is None
    codec.receive(PING)
    assert code_of(codec) == ErrorCode.ENHANCE_YOUR_CALM


def test_an_extended_connect_that_was_not_offered_27() -> None:
    codec = begun(stream_error=True)
    block = hpack.Encoder().encode(
        [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
    )
    codec.receive(frame(1, 4, 1, block))
    assert frames(codec.take_output()) == [(3, 0, 1, b"\0\0\0\x01")]


@pytest.mark.parametrize("stream_error", [False, True])
def test_an_invalid_message_ends_the_stream_or_the_connection(stream_error: bool) -> None:
    codec = begun(stream_error=stream_error)
    codec.receive(frame(1, 5, 1, HEAD_BLOCK + b"\x00\x01X\x01y"))
    assert (codec.failure is None) is stream_error
    assert value(codec, "rx_messaging_error") == 1


@pytest.mark.parametrize("body", [[b"four"], [b"sixsix"], [b"fiv", b"esix"]])
def test_a_body_of_another_length_than_promised_26(body: list[bytes]) -> None:
    codec = begun()
    codec.receive(frame(1, 4, 1, POST_BLOCK + b"\x0f\x0d\x015"))
    for piece in body:
        codec.receive(frame(0, piece == body[-1], 1, piece))
    assert frames(codec.take_output())[-1] == (3, 0, 1, b"\0\0\0\x01")
    assert codec.failure is None
