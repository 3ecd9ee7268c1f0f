"""Writing messages: heads that cannot smuggle a line, and bodies that keep the framing their head promised."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Protocol

from proxy.http.codec import CodecError
from proxy.http.h1_strict import TOKEN, VALUE
from proxy.http.headers import Headers, KeyFormat


def unwritable(what: str, *, status: int) -> CodecError:
    """A head that must not be put on the wire. Nothing of it has been queued: another one may be sent instead."""
    return CodecError(f"http1.unwritable_{what}", status=status)


def render_head(
    first_line: bytes, headers: Iterable[tuple[bytes, bytes]], *, status: int, key_format: KeyFormat | None = None
) -> bytes:
    """A message head, with its names in lower case or as `key_format` has them. Raises `CodecError` with `status` for a
    field whose bytes could be read as something else.
    """
    pairs = list(headers)
    if pairs:
        names, values = zip(*pairs, strict=True)
        # Both grammars say which octets there may be, so all names, and all values, can be looked at in one piece.
        if not (all(names) and TOKEN.fullmatch(b"".join(names)) and VALUE.fullmatch(b"".join(values))):
            raise unwritable("header", status=status)
    if key_format is not None:
        pairs = [(key_format(name.lower()), value) for name, value in pairs]
        return b"%b%b\r\n" % (first_line, b"".join([b"%b: %b\r\n" % pair for pair in pairs]))
    return b"%b%b\r\n" % (first_line, b"".join([b"%b: %b\r\n" % (name.lower(), value) for name, value in pairs]))


class BodyWriter(Protocol):
    """Frames one body. `data` and `end` return what goes on the wire; both raise `CodecError` for a broken promise.

    `room`: how many bytes of it may go around. `around` returns what goes on the wire before `count` bytes that do.
    """

    @property
    def room(self) -> int: ...

    def around(self, count: int) -> list[bytes]: ...
    def data(self, data: bytes) -> list[bytes]: ...
    def end(self, trailers: Headers | None) -> list[bytes]: ...


class SizedWriter:
    """Content-Length: exactly `length` bytes, or the peer takes what follows for the next message."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def room(self) -> int:
        return self._left

    def around(self, count: int) -> list[bytes]:
        self._charge(count)
        return []

    def data(self, data: bytes) -> list[bytes]:
        self._charge(len(data))
        return [data]

    def end(self, trailers: Headers | None) -> list[bytes]:
        if self._left:
            raise CodecError("http1.body_shorter_than_content_length", status=0)
        return []

    def _charge(self, count: int) -> None:
        if count > self._left:
            raise CodecError("http1.body_longer_than_content_length", status=0)
        self._left -= count


class ChunkedWriter:
    """Transfer-Encoding: chunked; the only framing that can carry trailers."""

    __slots__ = ("_owed",)

    def __init__(self) -> None:
        self._owed = b""  # the end of a chunk that went around

    @property
    def room(self) -> int:
        return sys.maxsize

    def around(self, count: int) -> list[bytes]:
        line = b"%b%x\r\n" % (self._owed, count)
        self._owed = b"\r\n"
        return [line]

    def data(self, data: bytes) -> list[bytes]:
        if not data:
            return []
        owed, self._owed = self._owed, b""
        return [b"%b%x\r\n" % (owed, len(data)), data, b"\r\n"]

    def end(self, trailers: Headers | None) -> list[bytes]:
        return [render_head(self._owed + b"0\r\n", trailers or (), status=0)]


class RawWriter:
    """A tunnel, or a response that ends with the connection (HTTP/1.0 clients know no chunks)."""

    __slots__ = ()

    @property
    def room(self) -> int:
        return sys.maxsize

    def around(self, count: int) -> list[bytes]:
        return []

    def data(self, data: bytes) -> list[bytes]:
        return [data]

    def end(self, trailers: Headers | None) -> list[bytes]:
        return []


class NoBodyWriter:
    """A message that has no body whatever its head says: responses to HEAD, 204, 304. Data is dropped."""

    __slots__ = ()

    @property
    def room(self) -> int:
        return 0

    def around(self, count: int) -> list[bytes]:
        raise AssertionError("a message without body")

    def data(self, data: bytes) -> list[bytes]:
        return []

    def end(self, trailers: Headers | None) -> list[bytes]:
        return []
