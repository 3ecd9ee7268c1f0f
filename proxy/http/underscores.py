"""`headers_with_underscores_action`: some upstreams take `x_forwarded_for` for `x-forwarded-for`."""

from __future__ import annotations

from proxy.errors import Flag, ProxyError
from proxy.http.headers import Headers

REJECTED = "http1.unexpected_underscore"


def drop_underscores(headers: Headers) -> int:
    """Drop the headers with an underscore in their name; says how many there were."""
    kept = [pair for pair in headers.items if b"_" not in pair[0]]
    dropped = len(headers.items) - len(kept)
    headers.items = kept
    return dropped


def refuse_underscores(headers: Headers) -> None:
    """Raise `ProxyError` (400) if there is such a header."""
    if any(b"_" in name for name, _ in headers.items):
        raise ProxyError(
            REJECTED,
            side="downstream",
            status=400,
            body="Bad Request",
            flag=Flag.DOWNSTREAM_PROTOCOL_ERROR,
            close=True,
        )
