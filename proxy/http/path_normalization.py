"""Paths as everybody is to understand them: Envoy's `normalize_path`, `merge_slashes`, escaped slashes (rules 12, 13).

A request whose path one hop reads otherwise than the next one reaches what it must not.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_ESCAPED_SLASH = re.compile(rb"%2[fF]|%5[cC]")
_SLASHES = re.compile(rb"//+")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})|([^!$%&'()*+,./:;=?@\[\]~_A-Za-z0-9-])")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

PLAIN = re.compile(rb"(?:/(?!\.)[A-Za-z0-9_~!$&'()*+,;=:@.-]+)*/?(?:\?.*)?")
"""Paths that none of these functions change: no escape, no empty segment, none that begins with a dot."""


def unescape_slashes(path: bytes) -> bytes:
    """`%2F` and `%5C` in front of the query become what they stand for."""
    return _before_query(path, lambda text: _ESCAPED_SLASH.sub(_slash, text))


def merge_slashes(path: bytes) -> bytes:
    """One slash for several in front of the query. Of nothing but slashes two are left, as in Envoy."""
    return _before_query(path, lambda text: _SLASHES.sub(b"/", text) if text.strip(b"/") else text[:2])


def normalize(path: bytes) -> bytes | None:
    """RFC 3986 section 6: `\\` is `/`, unreserved characters stand for themselves, others that must not be in a path
    are escaped, dot segments are resolved. None for a path with an escaped null. The query stays as it is.
    """
    if b"%00" in path.partition(b"?")[0]:
        return None
    return _before_query(path, _normalize)


def _normalize(path: bytes) -> bytes:
    path = _ESCAPE.sub(_character, path.replace(b"\\", b"/"))
    kept: list[bytes] = []
    *segments, last = path.split(b"/")[1:]
    for segment in segments:
        _resolve(segment, kept)
    ends_in_dots = _resolve(last, kept)
    return b"/" + b"/".join([*kept, b""] if ends_in_dots and kept else kept)


def _resolve(segment: bytes, kept: list[bytes]) -> bool:
    """Whether `segment` was one of dots; otherwise it is kept."""
    if segment == b"..":
        if kept:
            kept.pop()
        return True
    if segment == b".":
        return True
    kept.append(segment)
    return False


def _character(found: re.Match[bytes]) -> bytes:
    if found[2] is not None:
        return b"%%%02X" % found[2][0]
    code = int(found[1], 16)
    return bytes([code]) if code in _UNRESERVED else found[0]


def _slash(found: re.Match[bytes]) -> bytes:
    return b"/" if found[0][1:2] == b"2" else b"\\"


def _before_query(path: bytes, change: Callable[[bytes], bytes]) -> bytes:
    before, mark, query = path.partition(b"?")
    return change(before) + mark + query
