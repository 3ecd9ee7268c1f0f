"""Header compression (RFC 7541) on `hpack`, with a memory: most header blocks of a connection have come before.

A block that read nothing of the dynamic table always means the same, and writes the same into it: what was made of it
is kept, with what it wrote, and asked for by the block's own bytes. One that read, and wrote nothing, means the same
for as long as the table stays as it is. So much is known of nearly all blocks that come again. What goes out is kept
field by field, since responses differ in one or two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from hpack import Encoder, HPACKError
from hpack.table import HeaderTable

from proxy.http import express_varying
from proxy.http.h2_block_reader import BlockReader
from proxy.http.h2_frames import ConnectionFailed, ErrorCode
from proxy.http.h2_heads import Pair

Head = TypeVar("Head")

_MAX_KEPT = 64
"""Blocks that came; some 64 KiB of a connection that has as many different ones."""

_MAX_KEPT_BLOCK = 4096

_MAX_KEPT_FIELDS = 128
"""Fields that go out; at most as much."""

_MAX_KEPT_FIELD = 256

_MAX_SHORT = 126
"""A string's length that fits a byte (RFC 7541 5.2)."""

_SIZE_UPDATE = 0x20
"""RFC 7541 6.3; it stands at a block's beginning alone."""

_UNIQUE = frozenset(name.encode() for name in express_varying.NAMES) | {b"grpc-message"}

_NEVER_AGAIN = _UNIQUE | {b":path", b"content-length", b"etag", b"location", b"x-envoy-upstream-service-time"}
"""Headers whose values do not come again: in the dynamic table they would push out those that do (RFC 7541 7.1.3 has
the literal; a path may yet come again, but a connection with many would never settle)."""


class _Table(HeaderTable):
    """A dynamic table that knows how often it has changed, and been read. `added`, if it is set, gets what comes in."""

    def __init__(self) -> None:
        self.changes = self.reads = 0
        self.added: list[Pair] | None = None
        super().__init__()

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        if self.added is not None:
            self.added.append((name, value))
        super().add(name, value)

    def get_by_index(self, index: int) -> Pair:
        if index > HeaderTable.STATIC_TABLE_LENGTH:
            self.reads += 1
        pair: Pair = super().get_by_index(index)
        return pair


class BlockDecoder(Generic[Head]):
    """Header blocks in. `understand` makes of a decoded list what `decode` returns; it may raise, and must not keep the
    list. What it returns is kept and returned again, so it must not change.
    """

    def __init__(self, table_size: int, max_list_size: int, understand: Callable[[list[Pair]], Head]) -> None:
        self._table = _Table()
        self._table.maxsize = table_size
        self._reader = BlockReader(self._table, table_size, max_list_size)
        self._understand = understand
        self._always: dict[bytes, tuple[Head, list[Pair]]] = {}
        self._kept: dict[bytes, Head] = {}
        self._kept_at = 0

    def decode(self, block: bytes) -> Head:
        """Raises `ConnectionFailed`: who cannot read one block can read none after it (RFC 9113 4.3)."""
        table = self._table
        if self._kept_at == table.changes:
            kept = self._kept.get(block)
            if kept is not None:
                return kept
        known = self._always.get(block)
        if known is not None:
            head, added = known
            for name, value in added:
                table.add(name, value)
            return head
        before, reads = table.changes, table.reads
        table.added = added = []
        try:
            pairs = self.decode_list(block)
        finally:
            table.added = None
        head = self._understand(pairs)
        if len(block) > _MAX_KEPT_BLOCK or _resizes(block):
            pass
        elif table.reads == reads:
            if len(self._always) >= _MAX_KEPT:
                self._always.clear()
            self._always[block] = head, added
        elif table.changes == before:
            if self._kept_at != before or len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
                self._kept_at = before
            self._kept[block] = head
        return head

    def decode_list(self, block: bytes) -> list[Pair]:
        if _resizes(block):
            self._table.changes += 1  # a smaller table has lost entries
        try:
            return self._reader.read(block)
        except HPACKError as error:
            self._kept.clear()
            raise ConnectionFailed(ErrorCode.COMPRESSION_ERROR, "http2.header_compression_error") from error


def _resizes(block: bytes) -> bool:
    return bool(block) and block[0] & 0xE0 == _SIZE_UPDATE


class BlockEncoder:
    """Header blocks out. `table_size` is the most that the peer's decoder, and our own setting, allow."""

    def __init__(self, table_size: int) -> None:
        self._limit = table_size
        self._encoder = Encoder()
        self._encoder.header_table = self._table = _Table()
        self._kept: dict[Pair, bytes] = {}  # what fields come to, as the table is now
        self._names: dict[bytes, bytes] = {}  # what those of `_UNIQUE` begin with
        self.resize(4096)

    def resize(self, peer: int) -> None:
        """The peer's decoder takes a table of this size (SETTINGS_HEADER_TABLE_SIZE)."""
        size = min(peer, self._limit)
        if size != self._encoder.header_table_size:  # the same again would undo a change that is still to be told
            self._encoder.header_table_size = size
            told = self._encoder.table_size_changes  # the least and the last are enough (RFC 7541 4.2)
            least = min(told)
            told[:] = [least, size] if least < size else [size]
            self._forget()

    def encode(self, fields: Iterable[Pair]) -> bytes:
        """The block of `fields`, pseudo header fields first."""
        kept = self._kept
        parts: list[bytes] = [self._encoder.encode(())] if self._table.resized else []
        for pair in fields:
            part = kept.get(pair)
            parts.append(self._field(pair) if part is None else part)
        return b"".join(parts)

    def _forget(self) -> None:
        """The table has changed."""
        self._kept.clear()
        self._names.clear()

    def _field(self, pair: Pair) -> bytes:
        table, kept = self._table, self._kept
        begin = self._names.get(pair[0])
        if begin is not None and len(pair[1]) <= _MAX_SHORT:
            return b"%b%c%b" % (begin, len(pair[1]), pair[1])
        before = table.changes
        literal = pair[0] in _NEVER_AGAIN and table.search(*pair) is not None  # a name that is known is an index
        # Huffman's code would save a fifth of what does not come again, for a time that grows with a value's square:
        # 5 ms for 4 KB, 0.3 s for 60 KB.
        part: bytes = self._encoder.add(pair, literal, huffman=False)
        if table.changes != before:
            self._forget()
        elif pair[0] in _UNIQUE:
            size = len(pair[1])
            if size <= _MAX_SHORT and part.endswith(b"%c%b" % (size, pair[1])):  # no index of the whole field
                self._names[pair[0]] = part[: -size - 1]
        elif len(part) <= _MAX_KEPT_FIELD:
            if len(kept) >= _MAX_KEPT_FIELDS:
                kept.clear()
            kept[pair] = part
        return part
