"""Writing messages: heads that cannot smuggle a line, and bodies that keep the framing their head promised."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from proxy.http.codec import CodecError
from proxy.http.h1_strict import TOKEN, VALUE
from proxy.http.headers import Headers


def unwritable(what: str, *, status: int) -> CodecError:
    """A head that must not be put on the wire. Nothing of it has been queued: another one may be sent instead."""
    return CodecError(f"http1.unwritable_{what}", status=status)


def render_head(first_line: bytes, headers: Iterable[tuple[bytes, bytes]], *, status: int) -> bytes:
    """A message head. Raises `CodecError` with `status` for a field whose bytes could be read as something else."""
    pairs = list(headers)
    if pairs:
        names, values = zip(*pairs, strict=True)
        # Both grammars say which octets there may be, so all names, and all values, can be looked at in one piece.
        if not (all(names) and TOKEN.fullmatch(b"".join(names)) and VALUE.fullmatch(b"".join(values))):
            raise unwritable("header", status=status)
    return b"%b%b\r\n" % (first_line, b"".join([b"%b: %b\r\n" % (name.lower(), value) for name, value in pairs]))


class BodyWriter(Protocol):
    """Frames one body. `data` and `end` return what goes on the wire; both raise `CodecError` for a broken promise."""

    def data(self, data: bytes) -> list[bytes]: ...
    def end(self, trailers: Headers | None) -> list[bytes]: ...


class SizedWriter:
    """Content-Length: exactly `length` bytes, or the peer takes what follows for the next message."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    def data(self, data: bytes) -> list[bytes]:
        if len(data) > self._left:
            raise CodecError("http1.body_longer_than_content_length", status=0)
        self._left -= len(data)
        return [data]

    def end(self, trailers: Headers | None) -> list[bytes]:
        if self._left:
            raise CodecError("http1.body_shorter_than_content_length", status=0)
        return []


class ChunkedWriter:
    """Transfer-Encoding: chunked; the only framing that can carry trailers."""

    __slots__ = ()

    def data(self, data: bytes) -> list[bytes]:
        return [b"%x\r\n" % len(data), data, b"\r\n"] if data else []

    def end(self, trailers: Headers | None) -> list[bytes]:
        return [render_head(b"0\r\n", trailers or (), status=0)]


class RawWriter:
    """A tunnel, or a response that ends with the connection (HTTP/1.0 clients know no chunks)."""

    __slots__ = ()

    def data(self, data: bytes) -> list[bytes]:
        return [data]

    def end(self, trailers: Headers | None) -> list[bytes]:
        return []


class NoBodyWriter:
    """A message that has no body whatever its head says: responses to HEAD, 204, 304. Data is dropped."""

    __slots__ = ()

    def data(self, data: bytes) -> list[bytes]:
        return []

    def end(self, trailers: Headers | None) -> list[bytes]:
        return []
