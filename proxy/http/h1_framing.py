"""Reading message bodies: where a body ends (RFC 9112 section 6.3) and what came of it."""

from __future__ import annotations

import re
from typing import Protocol

from proxy.http.h1_inbox import Inbox
from proxy.http.h1_strict import FIELD_LINE, bad_request, headers_too_large, too_many_headers
from proxy.http.headers import Headers
from proxy.http.trailers import may_trail

# RFC 9112 7.1     chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF ; chunk-size = 1*HEXDIG
# RFC 9112 7.1.1   chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
# 15 digits stay below 2**63. Extensions are hop-by-hop: checked for octets and size, then dropped.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_PLAIN_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_MAX_CHUNK_LINE = 4096
# How far chunk lines may outweigh the data that they carry, over a whole body: an endless chain of extensions costs
# the sender little and us much (CVE-2023-39326; the figures are Go's).
_MAX_EXCESS = 16 * 1024
_FREE_PER_CHUNK = 16


class BodyReader(Protocol):
    """Takes one body off an inbox. `complete` once its end was seen; `trailers` are set then, if there were any."""

    complete: bool
    trailers: Headers | None

    @property
    def ahead(self) -> int:
        """How many bytes that come next are body as it stands, and not the end of it: these may go around, if none are
        in the inbox. What tells of the end is always read, and so is what comes with it but belongs to no message.
        """
        ...

    def skip(self, count: int) -> None:
        """`count` bytes of those `ahead` have gone around."""
        ...

    def read(self, inbox: Inbox) -> bytes:
        """Everything of this body that is there, or b""."""
        ...

    def end_of_input(self) -> bool:
        """The peer will send nothing more; says whether that is where the body may end."""
        ...


class SizedReader:
    """A body of `length` bytes (Content-Length)."""

    __slots__ = ("_left", "complete", "trailers")

    def __init__(self, length: int) -> None:
        self._left = length
        self.complete = length == 0
        self.trailers: Headers | None = None

    @property
    def ahead(self) -> int:
        return max(0, self._left - 1)  # the last byte is the end

    def skip(self, count: int) -> None:
        self._left -= count

    def read(self, inbox: Inbox) -> bytes:
        data = inbox.take(self._left)
        self._left -= len(data)
        self.complete = self._left == 0
        return data

    def end_of_input(self) -> bool:
        return self.complete


class UntilCloseReader:
    """A response body without framing, or a tunnel: it ends with the connection."""

    __slots__ = ("complete", "trailers")

    def __init__(self) -> None:
        self.complete = False
        self.trailers: Headers | None = None

    @property
    def ahead(self) -> int:
        return 0  # nobody knows how many

    def skip(self, count: int) -> None:
        raise AssertionError("nothing of this body may go around")

    def read(self, inbox: Inbox) -> bytes:
        return inbox.take(len(inbox))

    def end_of_input(self) -> bool:
        self.complete = True
        return True


class ChunkedReader:
    """A chunked body. Chunks that arrived together come out as one block."""

    __slots__ = ("_excess", "_left", "_step", "_trailer_bytes", "_trailer_count", "_trailers", "complete", "trailers")
    _trailers: list[tuple[bytes, bytes]]

    def __init__(self, *, max_trailers_bytes: int, max_trailers_count: int) -> None:
        self._step = self._read_size
        self._left = 0
        self._excess = 0
        self._trailer_bytes = max_trailers_bytes
        self._trailer_count = max_trailers_count
        self._trailers = []
        self.complete = False
        self.trailers: Headers | None = None

    @property
    def ahead(self) -> int:
        return self._left  # of this chunk: the line behind it is still to come

    def skip(self, count: int) -> None:
        self._left -= count
        if not self._left:
            self._step = self._read_data_end

    def read(self, inbox: Inbox) -> bytes:
        blocks: list[bytes] = []
        while not self.complete and self._step(inbox, blocks):
            pass
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def end_of_input(self) -> bool:
        return self.complete

    def _read_size(self, inbox: Inbox, blocks: list[bytes]) -> bool:
        self._read_plain_chunks(inbox, blocks)
        try:
            line = inbox.take_line(_MAX_CHUNK_LINE)
        except ValueError as error:
            raise bad_request() from error
        if line is None:
            return False
        size = _CHUNK_LINE.fullmatch(line)
        if not size:
            raise bad_request()
        self._left = int(size[1], 16)
        self._charge(len(line), self._left)
        self._step = self._read_data if self._left else self._read_trailer
        return True

    def _read_plain_chunks(self, inbox: Inbox, blocks: list[bytes]) -> None:
        """Chunks that are here whole and without extension: the common kind, at a price that tiny ones cannot abuse."""
        data, start = inbox.view()
        position = start
        while line := _PLAIN_CHUNK_LINE.match(data, position):
            begin, size = line.end(), int(line[1], 16)
            end = begin + size
            if size == 0 or data[end : end + 2] != b"\r\n":
                break
            self._charge(len(line[1]), size)
            blocks.append(bytes(data[begin:end]))
            position = end + 2
        inbox.skip(position - start)

    def _charge(self, line_length: int, size: int) -> None:
        self._excess = max(0, self._excess + line_length - _FREE_PER_CHUNK - 2 * size)
        if self._excess > _MAX_EXCESS:
            raise bad_request()

    def _read_data(self, inbox: Inbox, blocks: list[bytes]) -> bool:
        if not len(inbox):
            return False
        data = inbox.take(self._left)
        blocks.append(data)
        self.skip(len(data))
        return not self._left

    def _read_data_end(self, inbox: Inbox, blocks: list[bytes]) -> bool:
        if inbox.starts_with(b"\r\n"):
            inbox.skip(2)
            self._step = self._read_size
            return True
        if len(inbox) > 1 or not (len(inbox) == 0 or inbox.starts_with(b"\r")):
            raise bad_request()
        return False

    def _read_trailer(self, inbox: Inbox, blocks: list[bytes]) -> bool:
        try:
            line = inbox.take_line(self._trailer_bytes)
        except ValueError as error:
            raise (headers_too_large() if len(inbox) > self._trailer_bytes else bad_request()) from error
        if line is None:
            return False
        if not line:
            self.complete = True
            self.trailers = Headers(self._trailers) if self._trailers else None
            return True
        self._trailer_bytes -= len(line) + 2
        self._trailer_count -= 1
        if self._trailer_bytes < 0:
            raise headers_too_large()
        if self._trailer_count < 0:
            raise too_many_headers()
        field = FIELD_LINE.fullmatch(line)
        if not field:
            raise bad_request()
        name = field[1].lower()
        if may_trail(name):
            self._trailers.append((name, field[2].strip(b" \t")))
        return True
