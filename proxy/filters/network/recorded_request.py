"""What the flight recorder keeps of a request so that it can be routed again: what the client asked, before we edited
it, as far as it decides about routes. Bounded, and without what must not be kept.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.flight_recorder import text
from proxy.http.exchange import Exchange
from proxy.http.identity import ROUTER_HEADERS, XFF, XFP

MAX_BYTES = 256
"""Of all header lines together."""

_SECRET = frozenset({b"authorization", b"cookie", b"proxy-authorization"})
_OF_UPGRADES = frozenset({b"connection", b"upgrade"})
_OF_CALLERS = ROUTER_HEADERS | {XFF, XFP}
"""What decides about who is asking, and about what callers from inside may ask for."""


class Asked(NamedTuple):
    """`url` is the request's, "" where its record has that anyway and it came without TLS; `headers` are lines.
    `complete`: this is all that decides about its route.
    """

    url: str
    headers: tuple[str, ...]
    complete: bool


def asked(exchange: Exchange, read_by_routes: frozenset[bytes]) -> Asked:
    """Of an exchange whose head has been read."""
    received, request = exchange.received, exchange.request
    if received is None:
        return Asked("", (), complete=False)
    same = (received.authority, received.path) == (request.authority, request.path)
    by_tls = exchange.info.connection is not None and exchange.info.connection.tls is not None
    scheme = b"https" if by_tls else b"http"
    url = "" if same and not by_tls else text(b"%b://%b%b" % (scheme, received.authority, received.path))
    wanted = read_by_routes | _OF_CALLERS | (_OF_UPGRADES if exchange.info.upgrade else frozenset())
    pairs = [pair for pair in received.headers if pair[0] in wanted]
    lines = [text(b"%b: %b" % pair) for pair in pairs if pair[0] not in _SECRET]
    fits = sum(map(len, lines)) <= MAX_BYTES
    return Asked(url, tuple(lines) if fits else (), complete=fits and len(lines) == len(pairs))
