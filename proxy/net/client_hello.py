"""What a client's first TLS message asks for (RFC 8446 section 4.1.2), from bytes that stay where they are."""

from __future__ import annotations

from typing import NamedTuple

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_RECORD_HEAD, _MESSAGE_HEAD = 5, 4
_MAX_RECORD = 2**14
_LONGEST_NAME = 255
_SERVER_NAME, _ALPN = 0, 16  # extensions (RFC 6066, RFC 7301)


class ClientHello(NamedTuple):
    """`server_name` in lower case, "" for none; `applications` in the client's order. `ja3` and `ja4` are fingerprints
    of the whole message, "" where nobody wants them.
    """

    server_name: str = ""
    applications: tuple[str, ...] = ()
    ja3: str = ""
    ja4: str = ""


class NotTls(Exception):
    """These bytes begin no TLS connection."""


class TooLarge(Exception):
    """The message is longer than it may be."""


class Reader:
    """Big-endian numbers and vectors of one message. Raises `NotTls` beyond the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise NotTls
        piece, self._at = self._data[self._at : end], end
        return piece

    def bytes(self) -> bytes:
        """What is left."""
        return self.take(len(self._data) - self._at)

    def rest(self) -> str:
        """What is left, as text that means the same bytes."""
        return self.bytes().decode("latin-1")

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> Reader:
        """What follows a length of `size` bytes."""
        return Reader(self.take(self.number(size)))


def parse(data: bytes, limit: int) -> ClientHello | None:
    """The message that `data` begins with; None while it is not whole. Raises `NotTls`, and `TooLarge` beyond `limit`
    bytes of it.
    """
    body = body_of(data, limit)
    return None if body is None else read(body)


def body_of(data: bytes, limit: int) -> bytes | None:
    """The same message without its heads, as it was sent."""
    message = bytearray()
    at = 0
    while len(message) < _MESSAGE_HEAD or len(message) < _MESSAGE_HEAD + _length(message):
        head = data[at : at + _RECORD_HEAD]
        if head[:1] not in (b"", bytes([_HANDSHAKE])) or head[1:2] not in (b"", b"\x03"):
            raise NotTls
        if len(head) < _RECORD_HEAD:
            return None
        size = int.from_bytes(head[3:5])
        if not 0 < size <= _MAX_RECORD:
            raise NotTls
        piece = data[at + _RECORD_HEAD : at + _RECORD_HEAD + size]
        message += piece
        if message[:1] not in (b"", bytes([_CLIENT_HELLO])):
            raise NotTls
        if len(message) >= _MESSAGE_HEAD and _length(message) + _MESSAGE_HEAD > limit:
            raise TooLarge
        if len(piece) < size and (len(message) < _MESSAGE_HEAD or len(message) < _MESSAGE_HEAD + _length(message)):
            return None
        at += _RECORD_HEAD + size
    return bytes(message[_MESSAGE_HEAD : _MESSAGE_HEAD + _length(message)])


def _length(message: bytearray) -> int:
    """Of its body, as its head says."""
    return int.from_bytes(message[1:4])


def read(body: bytes) -> ClientHello:
    """What is in it. Raises `NotTls`."""
    hello = Reader(body)
    hello.take(2 + 32)  # version, random
    hello.vector(1)  # session id
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression methods
    name = ""
    applications: tuple[str, ...] = ()
    extensions = hello.vector(2) if hello else Reader(b"")
    while extensions:
        kind, value = extensions.number(2), extensions.vector(2)
        if kind == _SERVER_NAME:
            name = _server_name(value.vector(2))
        elif kind == _ALPN:
            applications = _protocols(value.vector(2))
    return ClientHello(name, applications)


def _server_name(names: Reader) -> str:
    """As BoringSSL takes it (`ext_sni_parse_clienthello`): one that no host can have by its length is no TLS."""
    while names:
        kind, name = names.number(1), names.vector(2).rest()
        if kind == 0:
            if not 0 < len(name) <= _LONGEST_NAME or "\0" in name:
                raise NotTls
            return name.lower()
    return ""


def _protocols(protocols: Reader) -> tuple[str, ...]:
    found = []
    while protocols:
        found.append(protocols.vector(1).rest())
    return tuple(found)
