"""Plain GETs: each on a connection of its own, or one after the other on the same."""

from __future__ import annotations

from tests.kit.client import Connection
from tests.kit.load.kinds.kind import Ask, check, stays


class KeepAlive:
    """A connection is used until it ends."""

    def __init__(self, ask: Ask) -> None:
        self._data = f"GET {ask.target} HTTP/1.1\r\nHost: load\r\n\r\n".encode("latin-1")
        self._status = ask.status

    def perform(self, connection: Connection) -> bool:
        response = connection.request(self._data)
        check(response, self._status)
        return stays(response)


class New(KeepAlive):
    """The client closes after each response, without having said so before."""

    def perform(self, connection: Connection) -> bool:
        super().perform(connection)
        return False
