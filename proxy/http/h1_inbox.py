"""Received bytes that no one has consumed yet."""

from __future__ import annotations


class Inbox:
    """A byte queue that hands out a received block as it came: no copy unless a message spans several blocks."""

    __slots__ = ("_data", "_start")

    def __init__(self) -> None:
        self._data: bytes | bytearray = b""
        self._start = 0

    def __len__(self) -> int:
        return len(self._data) - self._start

    def append(self, data: bytes) -> None:
        """Queue `data` behind what is there. Amortised linear however small the pieces are."""
        if not len(self):
            self._data, self._start = data, 0
            return
        if isinstance(self._data, bytearray):
            del self._data[: self._start]
        else:
            self._data = bytearray(memoryview(self._data)[self._start :])
        self._start = 0
        self._data += data

    def view(self) -> tuple[bytes | bytearray, int]:
        """The storage and the offset of the first unread byte: to search, not to keep."""
        return self._data, self._start

    def starts_with(self, prefix: bytes) -> bool:
        return self._data.startswith(prefix, self._start)

    def skip(self, count: int) -> None:
        """Drop the first `count` bytes (there must be that many)."""
        self._start += count

    def take(self, limit: int) -> bytes:
        """The first `limit` bytes, or all if there are fewer."""
        data, start = self._data, self._start
        end = min(start + limit, len(data))
        if end == len(data):
            self._data, self._start = b"", 0
            if start == 0 and isinstance(data, bytes):
                return data
        else:
            self._start = end
        return bytes(memoryview(data)[start:end])

    def take_line(self, limit: int) -> bytes | None:
        """A line of at most `limit` bytes without its CRLF, or None if its end has not come yet.

        Raises ValueError for a line that is too long or ends in a bare LF (RFC 9112 section 2.2 lets a recipient
        accept a bare LF; two parsers that disagree about it can be played against each other, so we do not).
        """
        data, start = self._data, self._start
        end = data.find(b"\n", start, start + limit + 2)
        if end < 0:
            if len(self) >= limit + 2:
                raise ValueError("line too long")
            return None
        if end == start or data[end - 1] != 0x0D:
            raise ValueError("bare LF")
        line = self.take(end + 1 - start)
        return line[:-2]
