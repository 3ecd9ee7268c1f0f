"""Which fields may follow a body (RFC 9110 6.5.1)."""

from __future__ import annotations

# Trailers must not carry fields needed for framing, routing, request modifiers, authentication, response control or
# content handling; "a recipient MUST NOT merge" what it does not know to be safe.
_NOT_IN_TRAILERS = frozenset(
    b"age authorization cache-control connection content-encoding content-length content-range content-type cookie "
    b"date expect expires forwarded host keep-alive location max-forwards pragma proxy-authenticate "
    b"proxy-authorization proxy-connection range retry-after set-cookie te trailer transfer-encoding upgrade vary "
    b"warning www-authenticate x-request-id".split()
)
_NOT_IN_TRAILERS_PREFIXES = (b"if-", b"x-forwarded-", b"x-envoy-", b":")


def may_trail(name: bytes) -> bool:
    """Whether the field `name` (lower case) is passed on behind a body; every other one is dropped there."""
    return name not in _NOT_IN_TRAILERS and not name.startswith(_NOT_IN_TRAILERS_PREFIXES)
