"""What a decoded header list must look like to be a message (RFC 9113 section 8): what is not is never passed on.

HTTP/1 on the other side has no way to say what HTTP/2 can: a space in a path, a line end in a value, a path in a host.
So whatever the grammar of HTTP/1.1 would not let stand is refused here (`h1_strict.py` has the expressions).
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from proxy.http.h1_strict import AUTHORITY, TOKEN, VALUE
from proxy.http.h2_heads import Pair, RequestHead, ResponseHead
from proxy.http.headers import Headers
from proxy.http.trailers import may_trail

# RFC 9113 8.2.1: lower case; otherwise RFC 9110 5.6.2.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")

# RFC 3986 3.3, RFC 9113 8.3.1: "*" is for OPTIONS alone. A fragment is refused with an answer, where routing begins.
_PATH = re.compile(rb"/[\x21-\x7e]*")

_SCHEMES = frozenset({b"http", b"https"})
_CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}")
_STATUS = re.compile(rb"[1-9][0-9]{2}")
_CONNECTION_SPECIFIC = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
_REQUEST_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})


class Malformed(Exception):
    """No valid HTTP message (RFC 9113 8.1.1). Its text is Envoy's response code detail."""


class Overflow(Exception):
    """More fields, or octets of fields, than are taken; as `Malformed`."""


FIELD = "http2.invalid.header.field"
RULE = "http2.violation.of.messaging.rule"
TOO_MANY = "http2.too_many_headers"
TOO_LARGE = "http2.header_list_size_too_large"


_SHORT = 128
"""Bytes of a field that is likely to come again: what is known of such is kept, whoever sent it."""


class Limits(NamedTuple):
    """Of one header list, pseudo header fields included (features §13 rule 15)."""

    size: int
    fields: int


def _split(pairs: list[Pair], limits: Limits) -> tuple[dict[bytes, bytes], list[Pair]]:
    """Pseudo header fields, and the others, checked one by one. Raises `Malformed`, `Overflow`."""
    if sum([len(name) + len(value) for name, value in pairs]) > limits.size:
        raise Overflow(TOO_LARGE)
    if len(pairs) > limits.fields:
        raise Overflow(TOO_MANY)
    pseudo: dict[bytes, bytes] = {}
    items: list[Pair] = []
    for name, value in pairs:
        if name[:1] == b":":
            if items or name in pseudo:
                raise Malformed(RULE)
            pseudo[name] = value
            continue
        if not (_may_come_again if len(name) + len(value) <= _SHORT else _may_come)(name, value):
            raise Malformed(FIELD)
        items.append((name, value))
    return pseudo, items


def _may_come(name: bytes, value: bytes) -> bool:
    """Whether this may be a field of a request or a response."""
    if not _NAME.fullmatch(name) or name in _CONNECTION_SPECIFIC or (name == b"te" and value != b"trailers"):
        return False
    return VALUE.fullmatch(value) is not None and (not value or not (value[0] in b" \t" or value[-1] in b" \t"))


_may_come_again = functools.lru_cache(maxsize=512)(_may_come)


def _content_length(items: list[Pair]) -> int:
    found = [value for name, value in items if name == b"content-length"]
    if not found:
        return -1
    if len(found) > 1 or not _CONTENT_LENGTH.fullmatch(found[0]):
        raise Malformed(FIELD)
    return int(found[0])


def request_head(pairs: list[Pair], limits: Limits, *, extended_connect: bool) -> RequestHead:
    """RFC 9113 8.3.1; RFC 8441 section 4 if `extended_connect` was advertised."""
    pseudo, items = _split(pairs, limits)
    method = pseudo.get(b":method", b"")
    if not pseudo.keys() <= _REQUEST_PSEUDO or not method:
        raise Malformed(RULE)
    if not TOKEN.fullmatch(method):
        raise Malformed(FIELD)
    protocol = pseudo.get(b":protocol", b"")
    if b":protocol" in pseudo and not (extended_connect and method == b"CONNECT" and TOKEN.fullmatch(protocol)):
        raise Malformed(FIELD)
    if method == b"CONNECT" and not protocol:
        if pseudo.keys() != {b":method", b":authority"} or not _names_port(pseudo[b":authority"]):
            raise Malformed(RULE)
    elif pseudo.get(b":scheme") not in _SCHEMES or pseudo.get(b":path", b"")[:1] not in (b"/", b"*"):
        raise Malformed(RULE)
    elif not _PATH.fullmatch(pseudo[b":path"]) and (pseudo[b":path"] != b"*" or method != b"OPTIONS"):
        raise Malformed(FIELD)
    content_length = _content_length(items)
    if method == b"CONNECT" and content_length >= 0:  # RFC 9110 9.3.6: it has no content
        raise Malformed(RULE)
    return RequestHead(
        method,
        pseudo.get(b":scheme", b""),
        _authority(pseudo, items),
        pseudo.get(b":path", b""),
        protocol,
        _join_cookies([pair for pair in items if pair[0] != b"host"]),
        content_length,
    )


def _names_port(authority: bytes) -> bool:
    port = authority.rpartition(b":")[2]
    return port.isdigit() and 0 < int(port) < 65536


def _authority(pseudo: dict[bytes, bytes], items: list[Pair]) -> bytes:
    """RFC 9113 8.3.1: `host` stands in for `:authority`, and must not contradict it."""
    hosts = [value for name, value in items if name == b"host"]
    authority = pseudo.get(b":authority", hosts[0] if hosts else b"")
    if not authority or len(hosts) > 1 or (hosts and hosts[0] != authority):
        raise Malformed(RULE)
    if not AUTHORITY.fullmatch(authority):
        raise Malformed(FIELD)
    return authority


def _join_cookies(items: list[Pair]) -> list[Pair]:
    """RFC 9113 8.2.3: crumbs of `cookie` are one line again for whoever is not HTTP/2."""
    crumbs = [value for name, value in items if name == b"cookie"]
    if len(crumbs) < 2:
        return items
    return [*(pair for pair in items if pair[0] != b"cookie"), (b"cookie", b"; ".join(filter(None, crumbs)))]


def response_head(pairs: list[Pair], limits: Limits) -> ResponseHead:
    """RFC 9113 8.3.2."""
    pseudo, items = _split(pairs, limits)
    status = pseudo.get(b":status", b"")
    if len(pseudo) != 1 or not _STATUS.fullmatch(status):
        raise Malformed(RULE)
    return ResponseHead(int(status), items, _content_length(items))


def trailers(pairs: list[Pair], limits: Limits) -> list[Pair]:
    """RFC 9113 8.1: a trailer section has no pseudo header fields. What frames or routes a message is dropped from it
    (RFC 9110 6.5.1)."""
    pseudo, items = _split(pairs, limits)
    if pseudo:
        raise Malformed(RULE)
    return [pair for pair in items if may_trail(pair[0])]


def is_field(name: bytes, value: bytes) -> bool:
    """Whether a field may be sent."""
    return _NAME.fullmatch(name) is not None and VALUE.fullmatch(value) is not None


def without_connection(headers: Headers) -> Headers:
    """`headers` without those of HTTP/1 connections (RFC 9113 8.2.2): the same object if there are none."""
    if any(name in _CONNECTION_SPECIFIC for name, _ in headers.items):
        return Headers(pair for pair in headers.items if pair[0] not in _CONNECTION_SPECIFIC)
    return headers
