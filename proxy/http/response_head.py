"""What happens to every response head: hop-by-hop headers, `date`, `server`, `via`, the request's id.

Features §13 rules 16 and 27. The order is Envoy's (`ConnectionManagerUtility::mutateResponseHeaders`).
"""

from __future__ import annotations

import time
from email.utils import formatdate

from proxy.config.identity import ServerHeader
from proxy.http.headers import Headers
from proxy.http.hop_by_hop import HOP_BY_HOP, keep_upgrade

_OF_UPGRADES = HOP_BY_HOP - {b"connection", b"upgrade"}


class ResponseRules:
    """The rules of one connection manager. `via` is our member of that list, empty for none."""

    __slots__ = ("_always", "_name", "_overwrite", "_via")

    def __init__(self, server: ServerHeader = ServerHeader(), via: str = "") -> None:  # noqa: B008 (frozen)
        self._name = server.name.encode()
        self._overwrite = server.transformation == "OVERWRITE"
        self._always = server.transformation != "PASS_THROUGH"
        self._via = via.encode()

    def clean(self, headers: Headers, *, close: bool, request_id: bytes | None = None, upgrading: bool = False) -> None:
        """Make `headers` those of the response that we send, in place: `server` is overwritten where it stands, `date`
        is the upstream's if it sent one. `upgrading`: it is a 101.
        """
        private = HOP_BY_HOP
        if upgrading:
            keep_upgrade(headers)
            private = _OF_UPGRADES
        server = date = False
        items: list[tuple[bytes, bytes]] = []
        for pair in headers.items:
            name = pair[0]
            if name == b"server" and self._overwrite:
                if not server:
                    server = True
                    items.append((b"server", self._name))
            elif name not in private:
                date = date or name == b"date"
                server = server or name == b"server"
                items.append(pair)
        if not date:
            items.append((b"date", http_date()))
        if not server and self._always:
            items.append((b"server", self._name))
        headers.items = items
        if request_id is not None:
            headers.set(b"x-request-id", request_id)
        if self._via:
            theirs = headers.joined(b"via")
            headers.set(b"via", self._via if theirs is None else theirs + b", " + self._via)
        if close:
            headers.add(b"connection", b"close")


_date_second = 0
_date = b""


def http_date() -> bytes:
    """The current time as `date` wants it (RFC 9110 §5.6.7); rendered once a second."""
    global _date_second, _date
    second = int(time.time())
    if second != _date_second:
        _date_second = second
        _date = formatdate(second, usegmt=True).encode()
    return _date
