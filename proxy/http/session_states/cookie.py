"""`envoy.http.stateful_session.cookie`: the address in a cookie that we make, with the time when it expires."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from proxy.config.context import CompileContext
from proxy.config.hash_policy import CookieMaker
from proxy.http.cookies import IN_A_COOKIE, cookie, set_cookie
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.http.session_states.session_state import decoded

PROTO = "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState"
FIELDS: dict[str, tuple[str, ...]] = {
    PROTO: ("cookie",),
    "envoy.type.http.v3.Cookie": ("name", "ttl", "path", "attributes"),
    "envoy.type.http.v3.CookieAttribute": ("name", "value"),
}

# The fields of Envoy's message of the cookie: an address (a string) and Unix seconds (a varint).
_ADDRESS, _EXPIRES = 1, 2
_MOST_BYTES = 10  # of a varint


class CookieState:
    """For requests below the cookie's path alone."""

    class Config(msgspec.Struct, frozen=True, gc=False):
        """`CookieBasedSessionState`."""

        name: str
        maker: CookieMaker = CookieMaker()

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `CookieBasedSessionState`. Of a `ttl` whole seconds count, as in Envoy."""
        said, here = message.cookie, context.at("cookie")
        for field, value in (("name", said.name), ("path", said.path)):
            if not IN_A_COOKIE.fullmatch(value):
                here.error((field,), f"{value!r} cannot stand in a cookie", "text without ; and control characters")
        attributes = tuple((attribute.name, attribute.value) for attribute in said.attributes)
        return cls.Config(said.name, CookieMaker(int(here.duration(said.ttl, "ttl")), said.path, attributes))

    def __init__(self, config: Config, now: Callable[[], float] = time.time) -> None:
        self._name = config.name
        self._maker = config.maker
        self._path = config.maker.path.encode()
        self._now = now

    def read(self, request: Request) -> str | None:
        if not self._is_below(request.path):
            return None
        text = decoded(cookie(request.headers, self._name.encode()))
        said = parse(text)
        if said is None:
            return text.decode("latin-1")  # as Envoy once wrote it
        return "" if said.expires and self._now() > said.expires else said.address.decode("latin-1")

    def write(self, address: str, headers: Headers) -> None:
        expires = int(self._now()) + self._maker.max_age if self._maker.max_age else 0
        value = base64.b64encode(render(Said(address.encode(), expires)))
        headers.add(b"set-cookie", set_cookie(self._name, value, self._maker))

    def _is_below(self, path: bytes) -> bool:
        own = self._path
        if own in (b"", b"/") or path == own:
            return True
        return path.startswith(own) and (own.endswith(b"/") or path[len(own) : len(own) + 1] in (b"/", b"?", b"#"))


class Said(NamedTuple):
    """What a cookie says. `expires` in Unix seconds, 0 for never."""

    address: bytes = b""
    expires: int = 0


def render(said: Said) -> bytes:
    """As a message of protobuf."""
    text = bytes([_ADDRESS << 3 | 2]) + _varint(len(said.address)) + said.address if said.address else b""
    return text + bytes([_EXPIRES << 3]) + _varint(said.expires) if said.expires else text


def parse(text: bytes) -> Said | None:
    """The inverse of `render`; fields that are not known are passed over. None for what is no such message."""
    address, expires, at = b"", 0, 0
    try:
        while at < len(text):
            tag, at = _read_varint(text, at)
            number, kind = tag >> 3, tag & 7
            if not number:
                return None
            if kind == 0:
                value, at = _read_varint(text, at)
                expires = value if number == _EXPIRES else expires
                continue
            if kind == 2:
                size, at = _read_varint(text, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                return None
            if at + size > len(text):
                return None
            address = text[at : at + size] if (number, kind) == (_ADDRESS, 2) else address
            at += size
    except IndexError:
        return None
    return Said(address, expires)


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _read_varint(text: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends. Raises `IndexError`."""
    number = 0
    for shift in range(0, 7 * _MOST_BYTES, 7):
        byte = text[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & (2**64 - 1), at
    raise IndexError
