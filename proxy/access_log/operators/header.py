"""Reading header lines as Envoy's header map shows them."""

from __future__ import annotations

import re
from collections.abc import Callable

from proxy.access_log.operator import FormatError, required
from proxy.http.headers import Headers
from proxy.route.matcher import JOINED

_NAME = re.compile(r":?[!#$%&'*+.^_`|~0-9A-Za-z-]+")

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
    joined = key in JOINED

    def find(headers: Headers) -> bytes | None:
        for line, value in headers.items:
            if line == key:
                return one_line(headers.joined(key) if joined else value)
        return None

    return find


def one_line(value: bytes | None) -> bytes | None:
    """No codec lets a line break through, but a filter may set any value: nothing may forge a line of the log."""
    if value is not None and (b"\n" in value or b"\r" in value):
        return value.replace(b"\r", b"\\r").replace(b"\n", b"\\n")
    return value
