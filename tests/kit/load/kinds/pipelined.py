"""Bursts of GETs without waiting for responses in between."""

from __future__ import annotations

from tests.kit.client import Connection
from tests.kit.load.kinds.kind import Ask, check, stays

BURST = 4


class Pipelined:
    """A burst counts as one request.

    A response with `connection: close` says that nothing behind it was looked at (RFC 9112 section 9.6), so the rest
    of that burst comes again, on another connection, as a request of its own.
    """

    def __init__(self, ask: Ask) -> None:
        self._data = f"GET {ask.target} HTTP/1.1\r\nHost: load\r\n\r\n".encode("latin-1")
        self._status = ask.status
        self._left = BURST

    def perform(self, connection: Connection) -> bool:
        connection.send(self._data * self._left)
        while self._left:
            response = connection.receive()
            check(response, self._status)
            self._left -= 1
            if not stays(response):
                self._left = self._left or BURST
                return False
        self._left = BURST
        return True
