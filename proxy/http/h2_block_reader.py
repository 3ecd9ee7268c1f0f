"""Reading a header block (RFC 7541 section 6) in one pass, on `hpack`'s table, integers and Huffman code.

`hpack.Decoder` makes a slice, a tuple and several calls of each field, which is most of what a request costs whose path
is another one each time. Its verdict, and what it leaves in the table, is the specification of this one.
"""

from __future__ import annotations

from hpack import HPACKDecodingError, InvalidTableSizeError, OversizedHeaderListError
from hpack.hpack import decode_integer
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from proxy.http.h2_heads import Pair

_OVERHEAD = 32
"""Of each entry (RFC 7541 4.1)."""

_MAX_TEXTS = 128
_MAX_TEXT = 64
"""Huffman codes whose text is kept, and their bytes: 16 KiB of a connection."""

_TRUNCATED = "Truncated header block"


class BlockReader:
    """One connection's. What it raises is an `HPACKError`, after which no block can be read any more."""

    def __init__(self, table: HeaderTable, max_table_size: int, max_list_size: int) -> None:
        self._table = table
        self._max_table_size = max_table_size
        self._max_list_size = max_list_size
        self._texts: dict[bytes, bytes] = {}

    def read(self, block: bytes) -> list[Pair]:
        """The fields of `block`; literals that are to be indexed are in the table then."""
        table = self._table
        fields: list[Pair] = []
        at, end, left = 0, len(block), self._max_list_size
        while at < end:
            first = block[at]
            if first & 0x80:
                index = first & 0x7F
                if index == 0x7F:
                    index, at = self._integer(block, at, 7)
                else:
                    at += 1
                pair = table.get_by_index(index)
            elif first & 0x60 == 0x20:
                if fields:
                    raise HPACKDecodingError("Table size update not at the start of the block")
                size, at = self._integer(block, at, 5)
                if size > self._max_table_size:
                    raise InvalidTableSizeError("Encoder exceeded max allowable table size")
                table.maxsize = size
                continue
            else:
                indexed = first & 0x40
                prefix = 6 if indexed else 4
                if first & ((1 << prefix) - 1):
                    index, at = self._integer(block, at, prefix)
                    name = table.get_by_index(index)[0]
                else:
                    name, at = self._text(block, at + 1)
                value, at = self._text(block, at)
                pair = (name, value)
                if indexed:
                    table.add(name, value)
            left -= len(pair[0]) + len(pair[1]) + _OVERHEAD
            if left < 0:
                raise OversizedHeaderListError("The header list is too large")
            fields.append(pair)
        return fields

    def _integer(self, block: bytes, at: int, prefix: int) -> tuple[int, int]:
        """The integer at `at`, and where it ends (RFC 7541 5.1)."""
        if at >= len(block):
            raise HPACKDecodingError(_TRUNCATED)
        limit = (1 << prefix) - 1
        number = block[at] & limit
        if number < limit:
            return number, at + 1
        number, size = decode_integer(block[at : at + 16], prefix)
        return number, at + size

    def _text(self, block: bytes, at: int) -> tuple[bytes, int]:
        """The string at `at`, and where it ends (RFC 7541 5.2)."""
        size, begin = self._integer(block, at, 7)
        end = begin + size
        text = block[begin:end]
        if len(text) != size:
            raise HPACKDecodingError(_TRUNCATED)
        return (self._plain(text) if block[at] & 0x80 else text), end

    def _plain(self, code: bytes) -> bytes:
        """The text of a Huffman code."""
        text = self._texts.get(code)
        if text is None:
            text = decode_huffman(code)
            if len(code) <= _MAX_TEXT:
                if len(self._texts) >= _MAX_TEXTS:
                    self._texts.clear()
                self._texts[code] = text
        return text
