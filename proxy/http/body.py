"""The request body: pulled by whoever wants it. Not reading is the back-pressure."""

from __future__ import annotations

from typing import Protocol

import trio

from proxy.errors import ProxyError
from proxy.http.deadlines import Deadlines, Phase
from proxy.http.downstream import Downstream
from proxy.http.events import DataReceived, StreamEnded
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.limits import SMALL_BODY
from proxy.net.passage import Carrier


class Transform(Protocol):
    """A sans-IO edit of a body: `feed` may hold bytes back, `finish` gives the rest. Both may raise `ProxyError`."""

    def feed(self, data: bytes) -> bytes: ...
    def finish(self) -> bytes: ...


def too_large() -> ProxyError:
    """The body outgrew what a filter may hold (Envoy's buffer filter: 413, connection closed)."""
    return ProxyError("request_payload_too_large", side="downstream", status=413, body="Payload Too Large", close=True)


class RequestBody:
    """`read` gives the body piece by piece; `read_all` gives it whole and leaves it to be read again.

    `trailers` are the request's trailers once the end was read. A client that waits for `100 Continue` gets it with the
    first read, so that a request which is refused at once never sends its body (RFC 9110 §10.1.1).

    What is read has passed the transforms that were there before it: a filter gets what those before it have made.
    """

    __slots__ = ("_deadlines", "_downstream", "_held", "_info", "_transforms", "_wants_continue", "trailers")

    def __init__(
        self, downstream: Downstream, deadlines: Deadlines, info: StreamInfo, *, expect_continue: bool
    ) -> None:
        self._downstream = downstream
        self._deadlines = deadlines
        self._info = info
        self._wants_continue = expect_continue and not info.request_complete
        self._held = b""
        self._transforms: tuple[Transform, ...] = ()
        self.trailers: Headers | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is left to read, nor any trailers to send behind it."""
        return self._info.request_complete and not self._held and self.trailers is None

    @property
    def pending(self) -> bool:
        """Whether `read` has something at hand, the end perhaps, and will not wait."""
        if self._held or self._info.request_complete:
            return True
        return not self._transforms and self._downstream.pending  # a transform may keep back what comes

    @property
    def is_small(self) -> bool:
        """Whether the rest is at hand and so small that a socket takes it whole."""
        if self._info.request_complete:
            return len(self._held) <= SMALL_BODY
        return not self._wants_continue and self._downstream.whole_within(SMALL_BODY - len(self._held))

    async def send_continue(self) -> None:
        """Answer `expect: 100-continue` if the client still waits. Only the exchange's own task may call this."""
        if self._wants_continue:
            self._wants_continue = False
            self._info.continued = True
            self._downstream.codec.send_informational(self._info.stream_id, 100, Headers())
            await self._downstream.flush()

    async def read(self) -> bytes:
        """The next bytes; `b""` at the end. Raises `ProxyError` when the client breaks the protocol or goes away."""
        if self._held:
            held, self._held = self._held, b""
            return held
        if self._info.request_complete:
            return b""
        await self.send_continue()
        while isinstance(event := await self._downstream.receive(), DataReceived):
            self._deadlines.touch()
            self._info.bytes_received += len(event.data)
            data = event.data
            for transform in self._transforms:
                data = transform.feed(data)
            if data:
                return data
        self._deadlines.touch()
        if not isinstance(event, StreamEnded):
            raise AssertionError(f"{event!r} within a request body")
        self.trailers = event.trailers
        self._info.request_complete = True
        self._info.request_received = trio.current_time()
        self._deadlines.disarm(Phase.REQUEST)
        rest = b""
        for transform in self._transforms:
            rest = (transform.feed(rest) if rest else b"") + transform.finish()
        return rest

    def transform(self, transform: Transform) -> None:
        """Pass what is still to be read through `transform`, behind those that are there."""
        if self._held:
            self._held = transform.feed(self._held)
        if self._info.request_complete:
            self._held += transform.finish()
        self._transforms += (transform,)

    @property
    def transformed(self) -> bool:
        """Whether what is read passes a transform."""
        return bool(self._transforms)

    def move_to(self, downstream: Downstream) -> None:
        """It comes from `downstream` now; nothing of it has been read."""
        self._downstream = downstream

    @property
    def splices(self) -> bool:
        return self._downstream.splices

    @property
    def body_ahead(self) -> int:
        """How many bytes that come next nobody has to read: see `proxy/http/body_relay.py`."""
        if self._held or self._wants_continue or self._info.request_complete or self._transforms:
            return 0
        return self._downstream.body_ahead

    def fill(self, carrier: Carrier, limit: int) -> int | None:
        """Take up to `limit` of them; None if none is here. Raises as `read` does."""
        taken = self._downstream.fill(carrier, limit)
        if taken:
            self._info.bytes_received += taken
            self._deadlines.touch()
        return taken

    async def wait_readable(self) -> None:
        """Until `fill` may find something."""
        await self._downstream.connection.wait_readable()

    def hold(self, data: bytes) -> None:
        """Give `data` with the next read."""
        self._held = data

    async def read_all(self, limit: int) -> bytes:
        """The whole body, at most `limit` bytes; raises `ProxyError` (413) beyond. Later reads give it again."""
        parts: list[bytes] = []
        size = 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                raise too_large()
            parts.append(data)
        self._held = b"".join(parts)
        return self._held
