"""What filters do to a response: to its head alone, to the bytes of its body, or to all of it."""

from __future__ import annotations

from proxy.errors import ProxyError
from proxy.http.body import Transform
from proxy.http.headers import Headers


class ResponseHead:
    """A response head on its way to the client; both parts may be assigned or edited."""

    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers


class ResponseEdit:
    """An edit of a whole response, sans-IO, for one exchange. Each method may raise `ProxyError` (a local reply as long
    as no head has gone out) and does nothing unless it is overridden.

    `begin` sees the head. If it sets `holds`, the head waits, filters before this one do not hear of it yet, and `feed`
    gives nothing, until `feed` resets `holds` or the body ends: the head may be edited until then. How much is kept is
    the edit's to bound. `resizes`: bodies change their length, so that no `content-length` of an upstream is true.
    """

    holds = False
    resizes = True

    def begin(self, head: ResponseHead, *, end_stream: bool) -> None:
        """The head; with `end_stream` the response has nothing else, and only an edit that `holds` may add to it."""

    def feed(self, data: bytes) -> bytes:
        """What of the body is to be passed on in place of `data`."""
        return data

    def finish(self, trailers: Headers | None) -> tuple[bytes, Headers | None]:
        """The rest of the body, and the trailers."""
        return b"", trailers


class TransformEdit(ResponseEdit):
    """A `Transform` of the body alone."""

    def __init__(self, transform: Transform) -> None:
        self._transform = transform
        self.feed = transform.feed  # type: ignore[method-assign]

    def finish(self, trailers: Headers | None) -> tuple[bytes, Headers | None]:
        return self._transform.finish(), trailers


class HeldBody:
    """What an edit keeps of a response's body: at most `limit` bytes. Beyond, `add` raises `ProxyError` (500)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """Keep `data` too."""
        if len(self._data) + len(data) > self._limit:
            raise ProxyError("response_payload_too_large", side="upstream", status=500, body="Internal Server Error")
        self._data += data

    def take(self) -> bytes:
        """All of it."""
        data, self._data = bytes(self._data), bytearray()
        return data
