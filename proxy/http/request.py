"""The request as filters see and edit it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from proxy.http.events import RequestReceived
from proxy.http.headers import Headers

if TYPE_CHECKING:
    from proxy.http.stream_info import StreamInfo

_SCHEMES = frozenset({b"http", b"https"})


class Request:
    """A request head whose parts may be assigned. `path` holds path and query; `headers` has no pseudo header.

    Every part is empty while no head has been read: a connection that fails before has an exchange without a request.
    `info` is the exchange's while its route is looked for, else None: the two must not hold each other in memory.
    """

    __slots__ = ("_random", "authority", "headers", "info", "method", "path", "protocol", "scheme", "upgrade")

    _random: int

    def __init__(self, event: RequestReceived | None = None) -> None:
        self.info: StreamInfo | None = None
        if event is None:
            self.method = self.scheme = self.authority = self.path = b""
            self.protocol = self.upgrade = ""
            self.headers = Headers()
        else:
            self.method = event.method
            self.scheme = event.scheme
            self.authority = event.authority
            self.path = event.path
            self.protocol = event.protocol
            self.upgrade = event.upgrade
            self.headers = event.headers

    def copy(self) -> Request:
        """The same request, to be edited apart from this one."""
        other = Request()
        other.method, other.scheme, other.authority, other.path = self.method, self.scheme, self.authority, self.path
        other.protocol, other.upgrade, other.headers = self.protocol, self.upgrade, self.headers.copy()
        return other

    @property
    def told_scheme(self) -> bytes:
        """The scheme that an upstream of HTTP/2 is told. A request of HTTP/1 names none itself, so what says how it
        came to the first proxy counts, as in Envoy.
        """
        if self.protocol != "HTTP/2":
            forwarded = self.headers.get(b"x-forwarded-proto")
            if forwarded in _SCHEMES:
                return forwarded
        return self.scheme

    @property
    def random(self) -> int:
        """A number below 2**64, drawn when it is first asked for: what decides about shares of requests. Envoy's
        stream id, which is the same for all that a request meets."""
        try:
            return self._random
        except AttributeError:
            self._random = random.getrandbits(64)
            return self._random

    @random.setter
    def random(self, number: int) -> None:
        self._random = number
