"""Cookies of requests, and those that responses set, as Envoy reads and writes them. No I/O."""

from __future__ import annotations

import re

from proxy.config.hash_policy import CookieMaker
from proxy.http.headers import Headers

IN_A_COOKIE = re.compile(r"[^\x00-\x1f\x7f;]*")
"""What may be a name or a path."""


def cookie(headers: Headers, name: bytes) -> bytes:
    """The value of a cookie, without quotation marks around it; empty if there is none (`parseCookieValue`)."""
    for line in headers.get_all(b"cookie"):
        for crumb in line.split(b";"):
            key, found, value = crumb.partition(b"=")
            if found and key.lstrip(b" ") == name:
                return value[1:-1] if len(value) >= 2 and value[:1] == value[-1:] == b'"' else value
    return b""


def set_cookie(name: str, value: bytes, maker: CookieMaker) -> bytes:
    """The value of a `set-cookie` header (`makeSetCookieValue`)."""
    parts = [f'{name}="{value.decode()}"']
    if maker.max_age:
        parts.append(f"Max-Age={maker.max_age}")
    if maker.path:
        parts.append(f"Path={maker.path}")
    parts += [f"{key}={said}" if said else key for key, said in maker.attributes]
    return "; ".join((*parts, "HttpOnly")).encode()
