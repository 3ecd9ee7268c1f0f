"""The request's body for attempts: read once from the client, and kept for those that come later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from proxy.http import body_relay
from proxy.http.headers import Headers
from proxy.limits import READ_SIZE, SMALL_BODY
from proxy.net.passage import Carrier


class Source(body_relay.Source, Protocol):
    """What an attempt sends; see `proxy.http.body.RequestBody`."""

    @property
    def ended(self) -> bool: ...
    @property
    def trailers(self) -> Headers | None: ...
    @property
    def pending(self) -> bool: ...
    @property
    def is_small(self) -> bool: ...
    async def send_continue(self) -> None: ...
    async def read(self) -> bytes: ...


class KeptBody:
    """Keeps what is read, up to `limit` bytes. Beyond, all of it is dropped and all of `overflow` called: from then on
    only the reader that goes on reading has the body.
    """

    __slots__ = ("_body", "_kept", "keeping", "limit", "overflow")

    def __init__(self, body: Source, limit: int, give_up: Callable[[], None]) -> None:
        self._body = body
        self.limit = limit
        self.overflow = [give_up]
        self._kept = bytearray()
        self.keeping = True

    def stop(self) -> None:
        """No attempt will ask for it again, once the present reader is through."""
        self.keeping = False

    def reader(self) -> Reader:
        """The body from its beginning."""
        return Reader(self, self._body)

    def whole(self) -> bytes | None:
        """All of it; None if it is not complete, or not kept."""
        return bytes(self._kept) if self.keeping and self._body.ended else None

    def piece(self, start: int) -> bytes:
        """Kept bytes from `start` on, if there are any."""
        return bytes(self._kept[start : start + READ_SIZE])

    def left(self, start: int) -> int:
        """How many bytes are kept from `start` on."""
        return max(0, len(self._kept) - start)

    async def more(self) -> bytes:
        """The next bytes from the client; `b""` at the end."""
        data = await self._body.read()
        if self.keeping and data:
            if len(self._kept) + len(data) > self.limit:
                self.keeping = False
                self._kept.clear()  # the one who reads on is through with it
                for give_up in self.overflow:
                    give_up()
            else:
                self._kept += data
        return data


class Reader:
    """A `Source` for one attempt."""

    __slots__ = ("_at", "_body", "_kept")

    def __init__(self, kept: KeptBody, body: Source) -> None:
        self._kept = kept
        self._body = body
        self._at = 0

    @property
    def trailers(self) -> Headers | None:
        return self._body.trailers

    @property
    def ended(self) -> bool:
        return self._body.ended and not self._kept.left(self._at)

    @property
    def is_small(self) -> bool:
        kept = self._kept.left(self._at)
        return kept <= SMALL_BODY if self._body.ended else not kept and self._body.is_small

    @property
    def pending(self) -> bool:
        return bool(self._kept.left(self._at)) or self._body.pending

    @property
    def splices(self) -> bool:
        return self._body.splices

    @property
    def body_ahead(self) -> int:
        """What is to be kept, or was, does not go around."""
        return 0 if self._kept.keeping or self._kept.left(self._at) else self._body.body_ahead

    def fill(self, carrier: Carrier, limit: int) -> int | None:
        return self._body.fill(carrier, limit)

    async def wait_readable(self) -> None:
        await self._body.wait_readable()

    async def send_continue(self) -> None:
        await self._body.send_continue()

    async def read(self) -> bytes:
        data = self._kept.piece(self._at) or await self._kept.more()
        self._at += len(data)
        return data
