"""A request as the header list that an upstream of HTTP/2 is sent (RFC 9113 8.3.1)."""

from __future__ import annotations

from proxy.http import h2_strict
from proxy.http.codec import CodecError
from proxy.http.h1_strict import AUTHORITY, PATH, TOKEN
from proxy.http.h2_heads import Pair
from proxy.http.headers import Headers

_SCHEMES = frozenset({b"http", b"https"})


def request_fields(
    method: bytes,
    path: bytes,
    authority: bytes,
    headers: Headers,
    scheme: bytes,
    *,
    tunnel: bool = False,
    protocol: bytes = b"",
) -> tuple[list[Pair], int]:
    """A request's header list, pseudo header fields first, and the length of the body that it promises, -1 if none.
    Raises `CodecError` (400).
    """
    fields = _fields(headers, tunnel=tunnel)
    return [*_pseudo(method, path, authority, scheme, protocol), *fields], _content_length(fields)


def _pseudo(method: bytes, path: bytes, authority: bytes, scheme: bytes, protocol: bytes) -> tuple[Pair, ...]:
    """RFC 9113 8.3.1, RFC 8441 section 4."""
    if not TOKEN.fullmatch(method):
        raise unwritable("method")
    if not AUTHORITY.fullmatch(authority):
        raise unwritable("authority")
    if method == b"CONNECT":
        return ((b":method", method), (b":authority", authority))
    if not PATH.fullmatch(path):
        raise unwritable("path")
    if scheme not in _SCHEMES:
        raise unwritable("scheme")
    first = (b":scheme", scheme), (b":authority", authority), (b":path", path)
    if not protocol:
        return ((b":method", method), *first)
    if not TOKEN.fullmatch(protocol):
        raise unwritable("protocol")
    return ((b":method", b"CONNECT"), *first, (b":protocol", protocol))


def _fields(headers: Headers, *, tunnel: bool) -> Headers:
    """`headers` without those of HTTP/1, and without a length of what has none, checked."""
    kept = h2_strict.without_connection(headers)
    if tunnel and b"content-length" in kept:
        kept = Headers(pair for pair in kept.items if pair[0] != b"content-length")
    if any(name == b"host" or (name == b"te" and value != b"trailers") for name, value in kept.items):
        kept = Headers(pair for pair in kept.items if pair[0] not in (b"host", b"te") or pair == (b"te", b"trailers"))
    for name, value in kept.items:
        if not h2_strict.is_field(name, value):
            raise unwritable("header")
    return kept


def _content_length(headers: Headers) -> int:
    """-1 if they say none."""
    values = headers.get_all(b"content-length")
    if not values:
        return -1
    if len(values) > 1 or not values[0].isdigit():
        raise unwritable("content_length")
    return int(values[0])


def unwritable(what: str) -> CodecError:
    """The error for a request that cannot be written because of `what`."""
    return CodecError(f"http2.unwritable_{what}", status=400)
