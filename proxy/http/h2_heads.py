"""A header list, and the heads of messages, as HTTP/2 has them."""

from __future__ import annotations

from typing import Any

Pair = tuple[bytes, bytes]
"""A field: name and value."""


class RequestHead:
    """Decoded and checked. `content_length` is -1 if it says none. `items` are shared, and must not be changed.
    `arrival` is what the express lane has made of it (`express_stream`), for the next one with the same block, and
    `arrival_with_body` the same of requests that do not end with it.
    """

    __slots__ = (
        "arrival",
        "arrival_with_body",
        "authority",
        "content_length",
        "items",
        "method",
        "path",
        "protocol",
        "scheme",
    )

    def __init__(
        self,
        method: bytes,
        scheme: bytes,
        authority: bytes,
        path: bytes,
        protocol: bytes,
        items: list[Pair],
        content_length: int,
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.authority = authority
        self.path = path
        self.protocol = protocol
        self.items = items
        self.content_length = content_length
        self.arrival: Any = None
        self.arrival_with_body: Any = None


class ResponseHead:
    """The same of a response. It is itself alone, whatever it says: the same one again comes of the same block."""

    __slots__ = ("content_length", "items", "status")

    def __init__(self, status: int, items: list[Pair], content_length: int) -> None:
        self.status = status
        self.items = items
        self.content_length = content_length
