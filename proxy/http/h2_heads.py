"""A header list, and a request's head, as HTTP/2 has them."""

from __future__ import annotations

from typing import Any

Pair = tuple[bytes, bytes]
"""A field: name and value."""


class RequestHead:
    """Decoded and checked. `content_length` is -1 if it says none. `items` are shared, and must not be changed.
    `arrival` is what the express lane has made of it (`express_stream`), for the next one with the same block.
    """

    __slots__ = ("arrival", "authority", "content_length", "items", "method", "path", "protocol", "scheme")

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
