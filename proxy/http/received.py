"""A request's head as it came."""

from __future__ import annotations

from proxy.http.events import RequestReceived
from proxy.http.headers import Headers


class Received:
    """A request's head as it came. Later edits of the headers make a new list, or append to this one."""

    __slots__ = ("_count", "_items", "authority", "path")

    def __init__(self, event: RequestReceived) -> None:
        self.authority, self.path = event.authority, event.path
        self._items = event.headers.items
        self._count = len(event.headers.items)

    def at(self, path: bytes) -> Received:
        """The same head with another path."""
        other = Received.__new__(Received)
        other.authority, other.path, other._items, other._count = self.authority, path, self._items, self._count
        return other

    @property
    def headers(self) -> Headers:
        return Headers(self._items[: self._count])
