"""Reading header lines as Envoy's header map shows them."""

from __future__ import annotations

import re
from collections.abc import Callable

from proxy.access_log.operator import FormatError, required
from proxy.http.headers import Headers
from proxy.route.matcher import JOINED

_NAME = re.compile(r":?[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_LF, _CR = 10, 13
"""Looking for a byte is eight times faster than looking for bytes of length 1, and this is done for every header."""

Lookup = Callable[[Headers], bytes | None]


def names(parameter: str | None) -> list[str]:
    """`NAME` or `NAME?ALTERNATIVE` as one or two lower-case names."""
    parts = required(parameter, "NAME or NAME?ALTERNATIVE").split("?")
    if len(parts) > 2:
        raise FormatError(f"more than one alternative in {parameter!r}", "NAME or NAME?ALTERNATIVE")
    found = [part.lower() for part in parts if part]
    for name in found:
        if not _NAME.fullmatch(name):
            raise FormatError(f"{name!r} is not a header name", "a header name")
    return found


def lookup(name: str) -> Lookup:
    """The first line of `name`; all of them if the name is one of those that Envoy joins."""
    key = name.encode()

    def first(headers: Headers) -> bytes | None:
        for line, value in headers.items:
            if line == key:
                return one_line(value)
        return None

    def joined(headers: Headers) -> bytes | None:
        found = None
        for line, value in headers.items:
            if line == key:
                found = value if found is None else found + b"," + value
        return one_line(found)

    return joined if key in JOINED else first


def one_line(value: bytes | None) -> bytes | None:
    """No codec lets a line break through, but a filter may set any value: nothing may forge a line of the log."""
    if value and (_LF in value or _CR in value):
        return value.replace(b"\r", b"\\r").replace(b"\n", b"\\n")
    return value
