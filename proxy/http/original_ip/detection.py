"""What the extensions have in common."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from proxy.config.common import Address, SocketAddress
from proxy.http.headers import Headers
from proxy.net.cidr import parse_ip


class Detection(NamedTuple):
    """`address` is None if nothing was found. `may_be_internal`: it may count as inside (features §13 rule 23).
    `appends`: the peer goes into `x-forwarded-for`.
    """

    address: SocketAddress | None
    may_be_internal: bool = False
    appends: bool = False


class OriginalIpDetection(Protocol):
    """One extension. Raises `ProxyError` for a request that it refuses."""

    def detect(self, headers: Headers, xff: bytes | None, peer: Address) -> Detection: ...


def address_of(text: bytes) -> SocketAddress | None:
    """The numeric address, port 0; None if `text` is none."""
    host = parse_ip(text.strip().decode("latin-1"))
    return None if host is None else SocketAddress(host, 0)
