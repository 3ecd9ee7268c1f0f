"""The request as filters see and edit it."""

from __future__ import annotations

from proxy.http.events import RequestReceived
from proxy.http.headers import Headers


class Request:
    """A request head whose parts may be assigned. `path` holds path and query; `headers` has no pseudo header.

    Every part is empty while no head has been read: a connection that fails before has an exchange without a request.
    """

    __slots__ = ("authority", "headers", "method", "path", "protocol", "scheme", "upgrade")

    def __init__(self, event: RequestReceived | None = None) -> None:
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
