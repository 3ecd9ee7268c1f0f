"""The HTTP/2 client codec against the `h2` package's server, and against raw frames (RFC 9113)."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from proxy.config.http2 import Http2Options
from proxy.http.codec import CodecError
from proxy.http.codec_h2_client import MAX_INFORMATIONAL, H2ClientCodec
from proxy.http.events import (
    DataReceived,
    Event,
    GoawayReceived,
    InformationalReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from proxy.http.h2_frames import PREFACE, ErrorCode
from proxy.http.h2_stats import Http2Stats
from proxy.http.headers import Headers
from proxy.stats import MemoryStats
from tests.kit.h2_client import frame
from tests.unit.proxy.http.h2_helpers import SETTINGS, frames

OK_BLOCK = b"\x88"  # `:status: 200` in HPACK's static table


def client(**options: Any) -> H2ClientCodec:
    """Options are those of `Http2Options`, and `max_headers_bytes`, `max_headers_count`."""
    limits = {name: options.pop(name) for name in ("max_headers_bytes", "max_headers_count") if name in options}
    return H2ClientCodec(Http2Options(**options), Http2Stats(MemoryStats()), **limits)


def literal(name: bytes, value: bytes) -> bytes:
    """A header field in HPACK that no table has."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


def asked(*, method: bytes = b"GET", streams: int = 1, **options: Any) -> H2ClientCodec:
    """A codec whose peer has said hello, and to whom `streams` requests went out."""
    codec = client(**options)
    codec.receive(SETTINGS)
    for _ in range(streams):
        codec.send_request(method, b"/", b"test", Headers(), end_stream=True)
    codec.take_output()
    return codec


class Pair:
    """Our client codec on a server of the `h2` package."""

    def __init__(self, **options: Any) -> None:
        self.client = client(**options)
        self.server = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_outbound_headers=False)
        )
        self.server.initiate_connection()
        self.up()
        self.down()
        self.up()

    def up(self) -> list[Any]:
        """What we have to say, as the server's events."""
        events = self.server.receive_data(self.client.take_output())
        return [event for event in events if not isinstance(event, h2.events.SettingsAcknowledged)]

    def down(self) -> list[Event]:
        """What the server has to say, as our events."""
        return self.client.receive(self.server.data_to_send())

    def ask(self, *, end: bool = True, **head: Any) -> int:
        parts = {"method": b"GET", "path": b"/", "authority": b"test", "headers": Headers(), **head}
        stream = self.client.send_request(**parts, end_stream=end)
        self.up()
        return stream


def test_what_is_said_first() -> None:
    codec = client(max_concurrent_streams=7, hpack_table_size=100, initial_stream_window_size=70000)
    data = codec.take_output()
    assert data[: len(PREFACE)] == PREFACE
    (settings, window) = frames(data[len(PREFACE) :])
    values = {settings[3][at + 1]: int.from_bytes(settings[3][at + 2 : at + 6], "big") for at in range(0, 30, 6)}
    assert values == {2: 0, 1: 100, 8: 0, 3: 7, 4: 70000}
    assert window[:3] == (8, 0, 0)


def test_a_request_and_its_response() -> None:
    pair = Pair()
    codec = pair.client
    stream = codec.send_request(
        b"GET", b"/a", b"test", Headers([(b"x", b"y"), (b"te", b"trailers")]), end_stream=True, scheme=b"https"
    )
    head, end = pair.up()
    assert head.headers == [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "test"),
        (":path", "/a"),
        ("x", "y"),
        ("te", "trailers"),
    ]
    assert end.stream_id == stream == 1
    pair.server.send_headers(stream, [(":status", "200"), ("a", "b")])
    pair.server.send_data(stream, b"hello")
    pair.server.send_headers(stream, [("sum", "1"), ("content-length", "9")], end_stream=True)
    assert pair.down() == [
        ResponseReceived(1, 200, "HTTP/2", Headers([(b"a", b"b")]), end_stream=False),
        DataReceived(1, b"hello"),
        StreamEnded(1, Headers([(b"sum", b"1")])),
    ]
    assert codec.streams == 0


def test_a_body_and_trailers_go_up() -> None:
    pair = Pair()
    stream = pair.ask(method=b"POST", end=False)
    pair.client.send_data(stream, b"up")
    pair.client.send_end(stream, Headers([(b"sum", b"1")]))
    data, trailers, _ = pair.up()
    assert (data.data, trailers.headers) == (b"up", [("sum", "1")])
    assert pair.client.streams == 1
    pair.server.send_headers(stream, [(":status", "204")], end_stream=True)
    assert pair.down() == [ResponseReceived(stream, 204, "HTTP/2", Headers(), end_stream=True)]
    assert pair.client.streams == 0


def test_informational_responses_come_first_and_have_a_bound() -> None:
    pair = Pair()
    stream = pair.ask()
    pair.server.send_headers(stream, [(":status", "103"), ("a", "b")])
    assert pair.down() == [InformationalReceived(stream, 103, Headers([(b"a", b"b")]))]
    for _ in range(MAX_INFORMATIONAL - 1):
        pair.server.send_headers(stream, [(":status", "100")])
    assert len(pair.down()) == MAX_INFORMATIONAL - 1
    pair.server.send_headers(stream, [(":status", "100")])
    pair.down()
    assert pair.client.failure is not None
    assert pair.client.failure.detail == "http2.too_many_informational_responses"


@pytest.mark.parametrize(
    ("method", "status"), [(b"HEAD", b"200"), (b"GET", b"204"), (b"GET", b"304"), (b"HEAD", b"404")]
)
def test_responses_without_a_body_may_say_how_long_it_would_be(method: bytes, status: bytes) -> None:
    codec = asked(method=method)
    block = literal(b":status", status) + literal(b"content-length", b"5")
    (head,) = codec.receive(frame(1, 5, 1, block))
    assert isinstance(head, ResponseReceived)
    assert head.end_stream
    assert not codec.streams


BROKEN = {
    "no status": literal(b"a", b"b"),
    "two statuses": OK_BLOCK + OK_BLOCK,
    "another pseudo header": OK_BLOCK + literal(b":path", b"/"),
    "a status that is none": literal(b":status", b"20"),
    "101": literal(b":status", b"101"),
    "a pseudo header behind others": literal(b"a", b"b") + OK_BLOCK,
    "an upper-case name": OK_BLOCK + literal(b"A", b"b"),
    "a line end": OK_BLOCK + literal(b"a", b"b\r\nc"),
    "connection": OK_BLOCK + literal(b"connection", b"close"),
    "transfer-encoding": OK_BLOCK + literal(b"transfer-encoding", b"chunked"),
    "two lengths": OK_BLOCK + literal(b"content-length", b"1") + literal(b"content-length", b"1"),
}


@pytest.mark.parametrize("block", BROKEN.values(), ids=BROKEN)
def test_a_head_that_is_none_ends_the_connection_or_the_stream(block: bytes) -> None:
    strict, lenient = asked(streams=2), asked(streams=2, stream_error=True)
    assert strict.receive(frame(1, 4, 1, block)) == []
    assert strict.failure is not None
    (reset,) = lenient.receive(frame(1, 4, 1, block))
    assert isinstance(reset, StreamReset)
    assert (reset.stream_id, reset.local, reset.error_code) == (1, True, ErrorCode.PROTOCOL_ERROR)
    assert lenient.failure is None
    assert lenient.streams == 1
    assert [found[:3] for found in frames(lenient.take_output())] == [(3, 0, 1)]


LENGTH_3 = OK_BLOCK + literal(b"content-length", b"3")
LYING = {
    "shorter": frame(1, 4, 1, LENGTH_3) + frame(0, 1, 1, b"ab"),
    "longer": frame(1, 4, 1, LENGTH_3) + frame(0, 1, 1, b"abcd"),
    "nothing": frame(1, 5, 1, LENGTH_3),
    "trailers too early": frame(1, 4, 1, LENGTH_3) + frame(1, 5, 1, literal(b"a", b"b")),
    "a body of a 204": frame(1, 4, 1, literal(b":status", b"204")) + frame(0, 1, 1, b"a"),
}


@pytest.mark.parametrize("data", LYING.values(), ids=LYING)
def test_a_body_of_another_length_than_promised_is_none(data: bytes) -> None:
    codec = asked(stream_error=True)
    events = codec.receive(data)
    assert isinstance(events[-1], StreamReset)
    assert not any(isinstance(event, StreamEnded) for event in events)


WRONG = {
    "a promise": frame(5, 4, 1, b"\0\0\0\x02" + OK_BLOCK),
    "a stream of the server's": frame(1, 5, 2, OK_BLOCK),
    "a stream that is not open": frame(1, 5, 3, OK_BLOCK),
    "data on one": frame(0, 1, 3, b"a"),
    "push is switched on": frame(4, 0, 0, b"\0\x02\0\0\0\x01"),
    "a stream that is over": frame(1, 5, 1, OK_BLOCK) + frame(1, 5, 1, OK_BLOCK),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_what_breaks_the_protocol_ends_the_connection(data: bytes) -> None:
    codec = asked()
    codec.receive(data)
    assert codec.failure is not None
    (kind, _, _, payload) = frames(codec.take_output())[-1]
    assert (kind, payload[:4]) == (7, bytes(4)), "servers open no streams, so none of theirs was looked at"


def test_data_before_the_head_costs_the_stream() -> None:
    codec = asked()
    (reset,) = codec.receive(frame(0, 1, 1, b"a"))
    assert isinstance(reset, StreamReset)
    assert codec.failure is None


def test_what_was_on_its_way_when_we_reset_is_nobodys() -> None:
    codec = asked(streams=2)
    codec.reset(1, ErrorCode.CANCEL)
    block = OK_BLOCK + literal(b"a", b"b").replace(b"\0", b"\x40", 1)  # it goes into the table
    assert codec.receive(frame(1, 4, 1, block) + frame(0, 1, 1, bytes(100))) == []
    (head,) = codec.receive(frame(1, 5, 3, OK_BLOCK + b"\xbe"))
    assert isinstance(head, ResponseReceived)
    assert head.headers == Headers([(b"a", b"b")])
    assert codec._consumed == 100, "the connection's window has it back"


def test_streams_behind_a_goaway_were_refused() -> None:
    codec = asked(streams=3)
    events = codec.receive(frame(7, 0, 0, b"\0\0\0\x01" + bytes(4)))
    refused = ErrorCode.REFUSED_STREAM
    assert events == [GoawayReceived(1, 0), StreamReset(3, refused), StreamReset(5, refused)]
    assert codec.streams == 1


def test_resets_of_the_server() -> None:
    codec = asked(streams=2)
    assert codec.receive(frame(3, 0, 1, b"\0\0\0\x07") + frame(3, 0, 3, b"\0\0\0\x02")) == [
        StreamReset(1, 7),
        StreamReset(3, 2),
    ]
    assert codec.streams == 0


def test_what_the_server_takes() -> None:
    codec = client()
    assert not codec.settled
    codec.receive(frame(4, 0, 0, b"\0\x03\0\0\0\x05" + b"\0\x04\0\0\0\x02"))
    assert codec.settled
    assert codec.peer_max_streams == 5
    stream = codec.send_request(b"POST", b"/", b"test", Headers(), end_stream=False)
    codec.take_output()
    codec.send_data(stream, b"abc")
    assert codec.queued(stream) == 1
    codec.receive(frame(8, 0, stream, b"\0\0\0\x01"))
    assert codec.drained == [stream]


UNWRITABLE: dict[str, tuple[dict[str, Any], str]] = {
    "method": ({"method": b"G T"}, "method"),
    "authority": ({"authority": b"a b"}, "authority"),
    "path": ({"path": b"/a b"}, "path"),
    "a path with a fragment": ({"path": b"/a#b"}, "path"),
    "scheme": ({"scheme": b"ftp"}, "scheme"),
    "a name": ({"headers": Headers([(b"A", b"b")])}, "header"),
    "a value": ({"headers": Headers([(b"a", b"b\r\nc: d")])}, "header"),
    "a length of nothing": ({"headers": Headers([(b"content-length", b"5")])}, "content_length"),
}


@pytest.mark.parametrize(("parts", "what"), UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_request_that_cannot_be_written_is_not(parts: dict[str, Any], what: str) -> None:
    codec = asked(streams=0)
    head = {"method": b"GET", "path": b"/", "authority": b"test", "headers": Headers(), **parts}
    with pytest.raises(CodecError, match=f"http2.unwritable_{what}"):
        codec.send_request(**head, end_stream=True)
    assert not codec.has_output
    assert not codec.streams


def test_headers_of_http1_stay_behind() -> None:
    pair = Pair()
    headers = Headers(
        [(b"connection", b"x"), (b"transfer-encoding", b"chunked"), (b"host", b"h"), (b"te", b"gzip"), (b"a", b"b")]
    )
    pair.client.send_request(b"GET", b"/", b"test", headers, end_stream=True)
    head, _ = pair.up()
    assert [pair for pair in head.headers if pair[0][0] != ":"] == [("a", "b")]


def test_connect_has_neither_scheme_nor_path() -> None:
    pair = Pair()
    pair.client.send_request(b"CONNECT", b"", b"test:80", Headers(), end_stream=True)
    (head,) = pair.up()  # and no end, as its data is the tunnel's
    assert head.headers == [(":method", "CONNECT"), (":authority", "test:80")]


def test_a_body_is_as_long_as_its_head_says() -> None:
    codec = asked(streams=0)
    length = Headers([(b"content-length", b"3")])
    stream = codec.send_request(b"POST", b"/", b"test", length, end_stream=False)
    codec.send_data(stream, b"ab")
    with pytest.raises(CodecError, match="shorter"):
        codec.send_end(stream)
    with pytest.raises(CodecError, match="longer"):
        codec.send_data(stream, b"cd")


def test_heads_have_limits() -> None:
    codec = asked(streams=2, max_headers_count=3, max_headers_bytes=1000)
    (reset,) = codec.receive(frame(1, 4, 1, OK_BLOCK + literal(b"a", b"b") * 3))
    assert isinstance(reset, StreamReset)
    assert (reset.local, reset.error_code) == (True, ErrorCode.INTERNAL_ERROR)
    (reset,) = codec.receive(frame(1, 4, 3, OK_BLOCK + literal(b"a", b"b" * 120) * 9))
    assert isinstance(reset, StreamReset)
    assert codec.failure is None
    assert codec.stats.header_overflow.value == 1  # type: ignore[attr-defined]


def test_a_connection_runs_out_of_streams() -> None:
    codec = asked(streams=0)
    codec._highest = 2**31 - 5
    assert codec.streams_left == 2
    codec.send_request(b"GET", b"/", b"test", Headers(), end_stream=True)
    codec.send_request(b"GET", b"/", b"test", Headers(), end_stream=True)
    assert codec.streams_left == 0
