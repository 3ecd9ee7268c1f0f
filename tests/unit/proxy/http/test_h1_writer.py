from __future__ import annotations

import pytest

from proxy.http.codec import CodecError
from proxy.http.h1_writer import ChunkedWriter, NoBodyWriter, RawWriter, SizedWriter, render_head
from proxy.http.headers import Headers


def test_names_go_out_in_lower_case_and_in_order() -> None:
    raw = render_head(b"GET / HTTP/1.1\r\n", [(b"B", b"1"), (b"a", b"\xe9"), (b"b", b"")], status=400)
    assert raw == b"GET / HTTP/1.1\r\nb: 1\r\na: \xe9\r\nb: \r\n\r\n"


@pytest.mark.parametrize(
    "pair",
    [(b"", b"v"), (b"a b", b"v"), (b"a:", b"v"), (b"a\r\nb", b"v"), (b"a", b"v\r\nb: c"), (b"a", b"\n"), (b"a", b"\0"),
     (b"a", b"\x7f"), (b"\xe9", b"v"), (b":path", b"v")],
)  # fmt: skip
def test_a_field_that_could_be_read_as_something_else_is_not_written(pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(CodecError) as caught:
        render_head(b"", [pair], status=418)
    assert caught.value.status == 418


def test_a_sized_body_keeps_its_promise() -> None:
    writer = SizedWriter(3)
    assert writer.data(b"ab") == [b"ab"]
    with pytest.raises(CodecError, match="longer"):
        writer.data(b"cd")
    with pytest.raises(CodecError, match="shorter"):
        writer.end(None)
    assert writer.data(b"c") == [b"c"]
    assert writer.end(Headers([(b"x", b"y")])) == []


def test_chunks_never_end_the_body_early() -> None:
    writer = ChunkedWriter()
    assert writer.data(b"") == []
    assert b"".join(writer.data(b"x" * 26)) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert writer.end(None) == [b"0\r\n\r\n"]
    assert writer.end(Headers([(b"x-sum", b"1")])) == [b"0\r\nx-sum: 1\r\n\r\n"]


def test_long_data_is_not_copied() -> None:
    block = b"x" * 100_000
    assert ChunkedWriter().data(block)[1] is block
    assert SizedWriter(100_000).data(block)[0] is block
    assert RawWriter().data(block)[0] is block


def test_no_body_means_none() -> None:
    assert NoBodyWriter().data(b"x") == []
    assert NoBodyWriter().end(Headers([(b"x", b"y")])) == []


def test_what_goes_around_is_promised_too() -> None:
    writer = SizedWriter(5)
    assert writer.room == 5
    assert writer.around(3) == []
    assert writer.room == 2
    with pytest.raises(CodecError, match="longer"):
        writer.around(3)
    with pytest.raises(CodecError, match="shorter"):
        writer.end(None)


def test_chunks_that_go_around_are_ended_with_what_follows() -> None:
    writer = ChunkedWriter()
    wire = [*writer.around(2), b"ab", *writer.around(1), b"c", *writer.data(b"d"), *writer.data(b"e")]
    assert b"".join(wire) == b"2\r\nab\r\n1\r\nc\r\n1\r\nd\r\n1\r\ne\r\n"
    assert b"".join([*writer.around(1), b"f", *writer.end(None)]) == b"1\r\nf\r\n0\r\n\r\n"


def test_where_nothing_is_framed_or_nothing_sent() -> None:
    assert RawWriter().around(7) == []
    assert RawWriter().room > 1 << 40
    assert NoBodyWriter().room == 0
