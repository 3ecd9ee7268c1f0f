"""Headers that concern one connection alone, and what a client may have dropped (features §13 rule 16).

Headers that tell an upstream who is asking are never removed on a client's word (`connection: x-real-ip`), and the ones
that Envoy refuses there are refused.
"""

from __future__ import annotations

from proxy.errors import Flag, ProxyError
from proxy.http.headers import Headers
from proxy.limits import MAX_NOMINATED_HEADERS

HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"transfer-encoding"})
STRIPPED = HOP_BY_HOP | {b"http2-settings", b"te"}
"""What `strip_request` looks at."""

_UPGRADING = frozenset({b"connection", b"upgrade"})
_REFUSED = frozenset({b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"})
_PROTECTED = frozenset({b"authorization", b"content-length", b"cookie", b"forwarded", b"x-request-id", b"x-real-ip"})
_PROTECTED_PREFIXES = (b"x-envoy-", b"x-forwarded-")


def strip_request(headers: Headers, *, upgrading: bool = False) -> set[bytes]:
    """Drop them and what `connection` names; `te: trailers` alone stays, and what asks for an upgrade, if `upgrading`.
    Returns the names that `connection` had dropped. Raises `ProxyError` (400).
    """
    nominated: set[bytes] = set()
    for value in headers.get_all(b"connection"):
        nominated |= _nominated(value)
    private = STRIPPED | nominated
    if upgrading:
        keep_upgrade(headers)
        private -= _UPGRADING
    headers.items = [
        (name, b"trailers") if name == b"te" else (name, value)
        for name, value in headers.items
        if name not in private or (name == b"te" and _accepts_trailers(value))
    ]
    return nominated


def keep_upgrade(headers: Headers) -> None:
    """Leave of `connection` nothing but the upgrade that it announces."""
    headers.set(b"connection", b"upgrade")


def _accepts_trailers(te: bytes) -> bool:
    """RFC 9110 section 10.1.4: `trailers` has no parameters. Its case counts, as in Envoy."""
    return any(part.strip() == b"trailers" for part in te.split(b","))


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
