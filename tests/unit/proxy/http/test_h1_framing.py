from __future__ import annotations

import pytest

from proxy.http.codec import CodecError
from proxy.http.h1_framing import BodyReader, ChunkedReader, SizedReader, UntilCloseReader
from proxy.http.h1_inbox import Inbox
from proxy.http.headers import Headers


def chunked() -> ChunkedReader:
    return ChunkedReader(max_trailers_bytes=100, max_trailers_count=3)


def fed(reader: BodyReader, raw: bytes) -> tuple[bytes, int]:
    """The body in `raw`, and how many bytes were left alone."""
    inbox = Inbox()
    inbox.append(raw)
    return reader.read(inbox), len(inbox)


def test_a_sized_body_takes_its_length_and_no_more() -> None:
    reader = SizedReader(3)
    assert fed(reader, b"ab") == (b"ab", 0)
    assert not reader.complete
    assert not reader.end_of_input()
    assert fed(reader, b"cdef") == (b"c", 3)
    assert reader.complete
    assert SizedReader(0).complete


def test_a_body_until_close_ends_with_the_connection_only() -> None:
    reader = UntilCloseReader()
    assert fed(reader, b"abc") == (b"abc", 0)
    assert not reader.complete
    assert reader.end_of_input()
    assert reader.complete


def test_chunks_that_came_together_leave_together() -> None:
    reader = chunked()
    assert fed(reader, b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\nnext") == (b"abc", 4)
    assert reader.complete
    assert reader.trailers is None


def test_a_chunked_body_must_be_ended() -> None:
    reader = chunked()
    fed(reader, b"1\r\na\r\n")
    assert not reader.end_of_input()


def test_trailers_are_trimmed_lowered_and_filtered() -> None:
    reader = chunked()
    fed(reader, b"0\r\nX-Sum: \t1 \r\nContent-Length: 9\r\nX-Two:2\r\n\r\n")
    assert reader.trailers == Headers([(b"x-sum", b"1"), (b"x-two", b"2")])


def test_trailers_that_are_all_dropped_are_none() -> None:
    reader = chunked()
    fed(reader, b"0\r\nHost: evil\r\n\r\n")
    assert reader.complete
    assert reader.trailers is None


@pytest.mark.parametrize(
    ("trailers", "detail"),
    [
        (b"a: 1\r\n" * 4, "http1.too_many_headers"),
        (b"a: " + b"1" * 100, "http1.headers_too_large"),
        ((b"a: " + b"1" * 47 + b"\r\n") * 3, "http1.headers_too_large"),
        (b"a: " + b"1" * 96 + b"\r\n", "http1.headers_too_large"),
        (b"Host: " + b"x" * 100, "http1.headers_too_large"),
        (b"a\r\n", "http1.codec_error"),
        (b"a: 1\n", "http1.codec_error"),
    ],
)
def test_trailers_have_limits_even_if_they_are_dropped(trailers: bytes, detail: str) -> None:
    with pytest.raises(CodecError) as caught:
        fed(chunked(), b"0\r\n" + trailers)
    assert caught.value.detail == detail


def test_extensions_may_not_outweigh_the_data_for_long() -> None:
    line = b"x" * 1000
    paid = b"".join(b"400;" + line + b"\r\n" + b"d" * 0x400 + b"\r\n" for _ in range(100))
    assert len(fed(chunked(), paid)[0]) == 100 * 0x400
    unpaid = b"".join(b"1;" + line + b"\r\nd\r\n" for _ in range(100))
    with pytest.raises(CodecError):
        fed(chunked(), unpaid)


def test_of_a_sized_body_all_but_the_last_byte_may_go_around() -> None:
    reader = SizedReader(10)
    assert reader.ahead == 9
    assert fed(reader, b"ab") == (b"ab", 0)
    reader.skip(reader.ahead)
    assert reader.ahead == 0
    assert not reader.complete
    assert fed(reader, b"cd") == (b"c", 1)
    assert reader.complete
    assert SizedReader(0).ahead == 0


def test_of_a_chunk_all_may_go_around_but_no_line() -> None:
    reader = chunked()
    assert reader.ahead == 0
    assert fed(reader, b"a\r\n01") == (b"01", 0)
    assert reader.ahead == 8
    reader.skip(3)
    assert reader.ahead == 5
    reader.skip(5)
    assert reader.ahead == 0
    assert fed(reader, b"\r\n1\r\nx\r\n0\r\n\r\n") == (b"x", 0)
    assert reader.complete


def test_a_chunk_that_went_around_must_be_ended_too() -> None:
    reader = chunked()
    fed(reader, b"3\r\na")
    reader.skip(2)
    with pytest.raises(CodecError):
        fed(reader, b"xx")


def test_nothing_goes_around_where_the_length_is_unknown() -> None:
    assert UntilCloseReader().ahead == 0
