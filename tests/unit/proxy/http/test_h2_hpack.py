"""Header compression with a memory: what is remembered is what would have been worked out."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.h2_frames import ConnectionFailed
from proxy.http.h2_hpack import BlockDecoder, BlockEncoder

NAMES = st.sampled_from(
    [b"x", b"y", b"accept", b"x-request-id", b"content-length", b"cookie", b"x-envoy-upstream-service-time"]
)
FIELDS = st.lists(st.tuples(NAMES, st.sampled_from([b"", b"1", b"2", b"a" * 100, b"b" * 126, b"c" * 127])), max_size=6)


@given(lists=st.lists(FIELDS, max_size=20), sizes=st.lists(st.sampled_from([0, 64, 300, 4096]), max_size=20))
def test_the_encoder_is_understood(lists: list[list[tuple[bytes, bytes]]], sizes: list[int]) -> None:
    ours, theirs = BlockEncoder(4096), hpack.Decoder()
    for number, fields in enumerate(lists):
        if number < len(sizes):
            ours.resize(sizes[number])
        block = ours.encode(((b":status", b"200"), *fields))
        assert theirs.decode(block, raw=True) == [(b":status", b"200"), *fields]


@given(lists=st.lists(FIELDS, max_size=20), sizes=st.lists(st.sampled_from([0, 64, 300, 4096]), max_size=20))
def test_the_decoder_understands(lists: list[list[tuple[bytes, bytes]]], sizes: list[int]) -> None:
    theirs, ours = hpack.Encoder(), BlockDecoder(4096, 1 << 16, tuple)
    for number, fields in enumerate(lists):
        if number < len(sizes):
            theirs.header_table_size = sizes[number]
        for _ in range(2):
            assert list(ours.decode(theirs.encode(fields))) == fields


def test_what_is_remembered_is_not_worked_out_again() -> None:
    theirs = hpack.Encoder()
    understood: list[object] = []
    ours = BlockDecoder(4096, 1 << 16, lambda pairs: understood.append(pairs) or len(understood))
    blocks = [theirs.encode([("x", "y")]) for _ in range(5)]
    assert [ours.decode(block) for block in blocks] == [1, 2, 2, 2, 2]
    assert ours.decode(theirs.encode([("x", "z")])) == 3
    assert ours.decode(theirs.encode([("x", "y")])) == 4  # the table has changed, and so has what a byte means


PIECES = st.sampled_from(
    [
        b"\x88",  # in the static table
        b"\x40\x01a\x01b",  # goes into the dynamic one
        b"\x40\x01c\x21" + b"d" * 33,
        b"\x61\x04date",  # the same, its name in the static table
        b"\x00\x01e\x01f",  # goes nowhere
        b"\xbe",  # in the dynamic table
        b"\xbf",
        b"\x7e\x01g",  # its name there
        b"\x0f\x2f\x01h",
    ]
)


@given(st.lists(st.lists(PIECES, max_size=3).map(b"".join), max_size=30), st.sampled_from([0, 80, 4096]))
def test_blocks_are_remembered_with_what_they_write(blocks: list[bytes], size: int) -> None:
    """As a decoder has it that remembers nothing."""
    theirs, ours = hpack.Decoder(), BlockDecoder(size, 1 << 16, tuple)
    theirs.max_allowed_table_size = theirs.header_table_size = size
    for block in blocks:
        try:
            expected = tuple(theirs.decode(block, raw=True))
        except hpack.HPACKError:
            with pytest.raises(ConnectionFailed):
                ours.decode(block)
            return
        assert ours.decode(block) == expected
        assert list(ours._table.dynamic_entries) == list(theirs.header_table.dynamic_entries)


def test_a_server_that_writes_the_same_each_time_is_not_worked_out_again() -> None:
    understood: list[object] = []
    ours = BlockDecoder(4096, 1 << 16, lambda pairs: understood.append(pairs) or len(understood))
    assert [ours.decode(b"\x88\x61\x04date") for _ in range(100)] == [1] * 100
    assert len(ours._table.dynamic_entries) == 100


def test_a_value_that_is_another_one_each_time_changes_nothing() -> None:
    ours = BlockEncoder(4096)
    blocks = [ours.encode([(b"a", b"1"), (b"x-request-id", b"%d" % number), (b"b", b"2")]) for number in range(4)]
    assert [len(block) for block in blocks[1:]] == [6] * 3  # a and b are an index each, and so is the other's name
    theirs = hpack.Decoder()
    for number, block in enumerate(blocks):
        assert theirs.decode(block, raw=True)[1] == (b"x-request-id", b"%d" % number)


def test_the_encoder_never_outgrows_the_smaller_of_both_tables() -> None:
    ours = BlockEncoder(64)
    ours.resize(65536)
    decoder = hpack.Decoder()
    decoder.decode(ours.encode([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]))
    assert decoder.header_table_size == 64


@given(st.lists(st.sampled_from([0, 50, 64, 300, 4096, 9999]), max_size=20))
def test_sizes_that_change_before_a_block_are_told_by_two(sizes: list[int]) -> None:
    """The least and the last (RFC 7541 4.2), however many SETTINGS came before there was anything to answer."""
    ours, theirs = BlockEncoder(4096), hpack.Decoder()
    fields = [(b"a", b"1"), (b"b", b"2")]
    assert theirs.decode(ours.encode(fields), raw=True) == fields
    for size in sizes:
        ours.resize(size)
    block = ours.encode(fields)
    assert block.count(b"\x3f") + block.count(b"\x20") <= 2
    assert theirs.decode(block, raw=True) == fields
    assert theirs.header_table_size == ours._table.maxsize
    assert list(theirs.header_table.dynamic_entries) == list(ours._table.dynamic_entries)


def test_sizes_that_change_without_a_block_are_not_collected() -> None:
    ours = BlockEncoder(4096)
    for number in range(1000):
        ours.resize(300 + number % 2)
    assert ours._encoder.table_size_changes == [300, 301]


def test_values_are_sent_as_they_are() -> None:
    """Huffman's code of a long value would take longer than all else of its response."""
    ours = BlockEncoder(4096)
    fields = [(b"x", b"y" * 60000), (b"short", b"value")]
    block = ours.encode(fields)
    assert all(value in block for _, value in fields)
    assert hpack.Decoder(max_header_list_size=1 << 20).decode(block, raw=True) == fields


def test_what_is_remembered_ends_with_the_table_that_it_read() -> None:
    """Though it was another block, of trailers, that made that smaller."""
    ours = BlockDecoder(4096, 1 << 16, tuple)
    ours.decode(b"\x40\x01a\x01b")
    assert ours.decode(b"\xbe") == ours.decode(b"\xbe") == ((b"a", b"b"),)
    assert ours.decode_list(b"\x20") == []
    with pytest.raises(ConnectionFailed):
        ours.decode(b"\xbe")


@pytest.mark.parametrize("block", [b"\xff\xff\xff\xff\xff\xff", b"\x80", b"\xbe", b"\x00\x05ab", b"\x3f\xe2\x1f"])
def test_what_nobody_can_read(block: bytes) -> None:
    with pytest.raises(ConnectionFailed):
        BlockDecoder(4096, 1 << 16, tuple).decode(block)
