"""What the connection manager does to every head: hop-by-hop headers, identity of the request, server and date.

Features §13 rules 16, 25, 26 and 27. Headers that tell an upstream who is asking are never removed on a client's word
(`connection: x-forwarded-for`), and the ones that Envoy refuses there are refused.
"""

from __future__ import annotations

import random
import time
from email.utils import formatdate

from proxy.errors import Flag, ProxyError
from proxy.http.headers import Headers
from proxy.limits import MAX_NOMINATED_HEADERS

_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"transfer-encoding"})
_PRIVATE = _HOP_BY_HOP | {b"http2-settings"}
_REFUSED = frozenset({b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"})
_PROTECTED = frozenset({b"authorization", b"content-length", b"cookie", b"forwarded", b"x-request-id", b"x-real-ip"})
_PROTECTED_PREFIXES = (b"x-envoy-", b"x-forwarded-")


def clean_request(headers: Headers, scheme: bytes) -> None:
    """Make `headers` those of the request that we send on, in place. Raises `ProxyError` (400)."""
    private: set[bytes] | frozenset[bytes] = _PRIVATE
    found = proto = request_id = False
    for name, value in headers.items:
        if name == b"x-forwarded-proto":
            proto = True
        elif name == b"x-request-id":
            request_id = True
        elif name == b"te" or name in _PRIVATE:
            found = True
            if name == b"connection":
                private = private | _nominated(value)
    if found:
        headers.items = [
            (name, b"trailers") if name == b"te" else (name, value)
            for name, value in headers.items
            if name not in private and (name != b"te" or _accepts_trailers(value))
        ]
    if not proto:
        headers.add(b"x-forwarded-proto", scheme)
    if not request_id:
        headers.add(b"x-request-id", new_request_id())


def clean_response(headers: Headers, server_name: bytes, *, close: bool) -> None:
    """Make `headers` those of the response that we send, in place: `server` is overwritten where it stands, `date` is
    the upstream's if it sent one.
    """
    server = date = False
    items: list[tuple[bytes, bytes]] = []
    for pair in headers.items:
        name = pair[0]
        if name == b"server":
            if not server:
                server = True
                items.append((b"server", server_name))
        elif name not in _HOP_BY_HOP:
            date = date or name == b"date"
            items.append(pair)
    if not date:
        items.append((b"date", http_date()))
    if not server:
        items.append((b"server", server_name))
    if close:
        items.append((b"connection", b"close"))
    headers.items = items


def new_request_id() -> bytes:
    """A random UUID, version 4, as `x-request-id`; the version nibble 4 also says "not traced" (rule 26)."""
    bits = random.getrandbits(128)  # an identifier, not a secret
    bits = bits & ~(0xF << 76) & ~(0x3 << 62) | (0x4 << 76) | (0x2 << 62)
    text = b"%032x" % bits
    return b"%b-%b-%b-%b-%b" % (text[:8], text[8:12], text[12:16], text[16:20], text[20:])


_date_second = 0
_date = b""


def http_date() -> bytes:
    """The current time as `date` wants it (RFC 9110 §5.6.7); rendered once a second."""
    global _date_second, _date
    second = int(time.time())
    if second != _date_second:
        _date_second = second
        _date = formatdate(second, usegmt=True).encode()
    return _date


def _accepts_trailers(te: bytes) -> bool:
    return any(part.partition(b";")[0].strip().lower() == b"trailers" for part in te.split(b","))


def _nominated(value: bytes) -> set[bytes]:
    """The headers that `connection: value` asks to drop, less those that no client may have dropped."""
    names = {name.strip().lower() for name in value.split(b",")} - {b""}
    if len(names) > MAX_NOMINATED_HEADERS or names & _REFUSED or any(name.startswith(b":") for name in names):
        raise ProxyError(
            "http1.connection_header_rejected",
            side="downstream",
            status=400,
            body="Bad Request",
            flag=Flag.DOWNSTREAM_PROTOCOL_ERROR,
            close=True,
        )
    return {name for name in names - _PROTECTED - {b"te"} if not name.startswith(_PROTECTED_PREFIXES)}
