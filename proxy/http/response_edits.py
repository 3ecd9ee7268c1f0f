"""What filters do to a response: to its head alone, to the bytes of its body, or to all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from proxy.errors import ProxyError
from proxy.http.body import Transform
from proxy.http.headers import Headers

_NO_BODY = frozenset({204, 304})


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


class Passed(NamedTuple):
    """What goes on to the client: `head` if its time has come, `body`, and the end with `trailers` if it `ended`."""

    head: ResponseHead | None
    body: bytes = b""
    ended: bool = False
    trailers: Headers | None = None


Hook = Callable[[ResponseHead], None]


class ResponseEdits:
    """The hooks, transforms and edits of one response: those that were added last come first. Sans-IO."""

    __slots__ = ("_edits", "_held", "_hooks")

    def __init__(self) -> None:
        self._hooks: list[Hook | ResponseEdit] = []
        self._edits: list[ResponseEdit] = []
        self._held: tuple[ResponseEdit, ResponseHead] | None = None

    @property
    def touch_bodies(self) -> bool:
        """Whether somebody looks at the response's body."""
        return bool(self._edits)

    def add_hook(self, hook: Hook) -> None:
        self._hooks.append(hook)

    def add_transform(self, transform: Transform) -> None:
        self._edits.append(TransformEdit(transform))

    def add(self, edit: ResponseEdit) -> None:
        self._hooks.append(edit)
        self._edits.append(edit)

    def give_up(self) -> None:
        """A local reply takes the place of a head that waits, and goes past those that have not seen that (Envoy)."""
        if self._held is not None:
            self._held = None
            self._hooks.clear()
            self._edits.clear()

    def head(self, head: ResponseHead, method: bytes, *, end_stream: bool) -> Passed:
        """The head of the response to a request of `method`, or what of it was held so far."""
        made: tuple[bytes, Headers | None] | None = None
        while self._hooks:
            hook = self._hooks.pop()
            if not isinstance(hook, ResponseEdit):
                hook(head)
                continue
            if opens_tunnel(method, head.status):
                continue  # there is no body to edit
            self._held = hook, head
            hook.begin(head, end_stream=end_stream)
            if hook.holds and not end_stream:
                break
            if hook.holds:
                while self._edits.pop() is not hook:
                    """Those behind it have nothing to edit."""
                made = (b"", None) if bodiless(method, head.status) else hook.finish(None)
                end_stream = not made[0] and made[1] is None
            self._held = None
        ready = None if self._held is not None else self._ready(head, method, end_stream=end_stream)
        if made is None or end_stream:
            return Passed(ready, ended=end_stream)
        rest = self._end(made[0], made[1], method)
        return rest._replace(head=rest.head or ready)

    def data(self, data: bytes, method: bytes) -> Passed:
        """A piece of the body."""
        head = None
        for edit in reversed(self._edits):
            data = edit.feed(data)
            if self._held is not None and edit is self._held[0]:
                if edit.holds:
                    return Passed(None)
                (_, waiting), self._held = self._held, None
                head = self.head(waiting, method, end_stream=False).head
        return Passed(head, data)

    def end(self, trailers: Headers | None, method: bytes) -> Passed:
        """The end of the response."""
        return self._end(b"", trailers, method)

    def _end(self, rest: bytes, trailers: Headers | None, method: bytes) -> Passed:
        """The same behind `rest`, which the edits that are left have not seen."""
        head = None
        while self._edits:
            edit = self._edits.pop()
            rest = edit.feed(rest) if rest else b""
            more, trailers = edit.finish(trailers)
            rest += more
            if self._held is not None and edit is self._held[0]:
                (_, waiting), self._held = self._held, None
                rest = b"" if bodiless(method, waiting.status) else rest
                passed = self.head(waiting, method, end_stream=not rest and trailers is None)
                if passed.ended:
                    return passed
                head = passed.head
        return Passed(head, rest, ended=True, trailers=trailers)

    def _ready(self, head: ResponseHead, method: bytes, *, end_stream: bool) -> ResponseHead:
        if end_stream or opens_tunnel(method, head.status) or bodiless(method, head.status):
            self._edits.clear()
        elif any(edit.resizes for edit in self._edits):
            head.headers.remove(b"content-length")
        return head


def opens_tunnel(method: bytes, status: int) -> bool:
    """Whether what follows a response of this `status` is no HTTP (RFC 9110 7.8, 9.3.6)."""
    return status == 101 or (method == b"CONNECT" and 200 <= status < 300)


def bodiless(method: bytes, status: int) -> bool:
    """Whether a response of this `status` has no body, whatever it says (RFC 9110 6.4.1)."""
    return status in _NO_BODY or method == b"HEAD"
