"""Our reader of header blocks and that of `hpack` agree: on fields, on the table afterwards, and on what is none."""

from __future__ import annotations

from typing import Any

import hpack
from hpack.table import HeaderTable
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.http.h2_block_reader import BlockReader

SIZE = 300
NAMES = st.sampled_from([b":path", b":method", b"x", b"cookie", b"accept", b"", b"a" * 70])
VALUES = st.sampled_from([b"", b"GET", b"/", b"/a?b=c", b"b" * 130, b"\xff\x00", b"gzip, deflate"]) | st.binary(
    max_size=9
)


@st.composite
def fields(draw: st.DrawFn) -> bytes:
    """One field in one of its forms, sound or nearly."""

    def integer(number: int, prefix: int, first: int) -> bytes:
        coded = hpack.hpack.encode_integer(number, prefix)
        coded[0] |= first
        return bytes(coded)

    def text(data: bytes) -> bytes:
        if draw(st.booleans()):
            coded: bytes = hpack.Encoder().huffman_coder.encode(data)
            return integer(len(coded), 7, 0x80) + coded
        return integer(len(data), 7, 0) + data

    match draw(st.sampled_from(["index", "literal", "literal", "size"])):
        case "index":
            return integer(draw(st.integers(0, 70) | st.just(1 << 40)), 7, 0x80)
        case "size":
            return integer(draw(st.sampled_from([0, 100, SIZE, SIZE + 1])), 5, 0x20)
    prefix, first = draw(st.sampled_from([(6, 0x40), (4, 0x00), (4, 0x10)]))
    name = draw(st.integers(1, 66) | st.none())
    head = integer(name, prefix, first) if name else bytes([first]) + text(draw(NAMES))
    return head + text(draw(VALUES))


def outcome(read: Any, block: bytes, table: HeaderTable) -> tuple[object, list[tuple[bytes, bytes]], int]:
    try:
        found: object = [tuple(pair) for pair in read(block)]
    except hpack.HPACKError as error:
        found = type(error)
    return found, list(table.dynamic_entries), table.maxsize


SOUND = st.lists(fields(), max_size=5).map(b"".join)
CUT = st.tuples(SOUND, st.integers(1, 8)).map(lambda cut: cut[0][: -cut[1]])
BLOCKS = st.lists(SOUND | CUT | st.binary(max_size=12), max_size=8)


@settings(max_examples=100)
@given(blocks=BLOCKS)
@example(blocks=[b"\x3f\xe2\x1f"])
@example(blocks=[b"\xff\xff\xff\xff\xff\xff\xff"])
@example(blocks=[b"\x82\x3f\x01"])
@example(blocks=[b"\x40", b"\x40\x81", b"\x00\x01", b"\x0f"])
def test_both_read_the_same(blocks: list[bytes]) -> None:
    theirs = hpack.Decoder(max_header_list_size=400)
    theirs.max_allowed_table_size = theirs.header_table_size = SIZE
    table = HeaderTable()
    table.maxsize = SIZE
    ours = BlockReader(table, SIZE, 400)
    for block in blocks:
        one = outcome(ours.read, block, table)
        assert one == outcome(lambda data: theirs.decode(data, raw=True), block, theirs.header_table)
        if not isinstance(one[0], list):
            return
