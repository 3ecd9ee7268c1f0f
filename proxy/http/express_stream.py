"""A request of HTTP/2 as the express lane sees it: as `express_request`, whose plans it shares.

Its head has been decoded and checked (`h2_strict`). Written as lines it is a key like any other, so that requests that
differ in their path, or in the ids of traces, share a plan whatever their blocks look like.
"""

from __future__ import annotations

import re
from typing import Any

from proxy.http.events import RequestReceived
from proxy.http.express_request import Arrival, Understood, plain_path
from proxy.http.h2_heads import RequestHead
from proxy.http.headers import Headers

# HEAD answers in ways of its own, CONNECT is no exchange.
_METHODS = frozenset({b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"})

_EXPECTS = re.compile(rb"\r\nexpect: ")


class StreamArrival(Arrival):
    """A request whose body, if it has one, is each user's to set. `planned` is what was found for it last, for who has
    the same head again.
    """

    protocol = "HTTP/2"
    __slots__ = ("_length", "kind", "planned")

    def __init__(self, head: RequestHead, *, end_stream: bool) -> None:
        lines = [(b"authority", head.authority), (b"scheme", head.scheme), *head.items]
        super().__init__(b"", head.method, head.path, b"".join([b"%b: %b\r\n" % pair for pair in lines]), b"")
        self.kind = "HTTP/2" if end_stream else "HTTP/2 with a body"
        self._length = 0 if end_stream else head.content_length
        self.planned: Any = None

    def understand(self, fields: bytes, options: dict[str, Any], scheme: bytes) -> Understood | None:
        """As `Arrival`; HTTP/2's codec has seen to its options, and to the scheme, already."""
        if _EXPECTS.search(fields):
            return None
        (_, authority), (_, scheme), *pairs = (_pair(line) for line in fields.split(b"\r\n")[:-1])
        event = RequestReceived(
            1, self.method, scheme, authority, self.path, self.protocol, Headers(pairs), not self._length
        )
        return Understood(event, self._length, closes=False)


def _pair(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b": ")
    return name, value


def arrival(head: RequestHead, *, end_stream: bool) -> StreamArrival | None:
    """What `head` is to the lane; None if it is not of the plainest kind. `end_stream`: it is all of its request."""
    known: StreamArrival | None = head.arrival if end_stream else head.arrival_with_body
    if known is None:
        if head.method not in _METHODS or plain_path(head.path) is None:
            return None
        known = StreamArrival(head, end_stream=end_stream)
        if end_stream:
            head.arrival = known
        else:
            head.arrival_with_body = known
    return known
