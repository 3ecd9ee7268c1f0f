"""A stream of HTTP/2 that has become a tunnel (RFC 9113 section 8.5, RFC 8441), as one end of a relay.

Its bytes are DATA frames: they come in as long as the stream's window lasts, which is given back as they are taken, and
go out within the peer's windows. The ends of either side are END_STREAM.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Protocol

from proxy.limits import READ_SIZE
from proxy.net.pipe import Memory, Pipe
from proxy.net.relay_end import Count


class TunnelStream(Protocol):
    """A stream, as the tunnel sees it. `read_size`: how many bytes for its peer are worth having at once. `blocked`:
    some of them wait for its windows. `lost`: it was over before both sides had ended it.
    """

    @property
    def read_size(self) -> int: ...
    @property
    def blocked(self) -> bool: ...
    @property
    def lost(self) -> bool: ...
    def take(self, size: int) -> bytes | None:
        """Up to `size` bytes that have come; `b""` at the peer's end, None if nothing has come yet."""
        ...

    def send(self, data: bytes) -> None: ...
    def finish(self) -> None:
        """End our side."""
        ...

    def on_failure(self, call: Callable[[], None] | None) -> None:
        """Call this when the stream is lost; None ends that."""
        ...

    async def wait_arrival(self) -> None:
        """Until `take` has something to say, or the stream is lost."""
        ...

    async def wait_unblocked(self) -> None:
        """Or lost."""
        ...


class StreamEnd:
    """Implements `proxy.net.relay_end.End`."""

    __slots__ = ("_received", "_sent", "_stream")

    splices = False

    def __init__(self, stream: TunnelStream, received: Count, sent: Count) -> None:
        self._stream = stream
        self._received = received
        self._sent = sent

    @property
    def limit(self) -> int:
        return self._stream.read_size

    def fill(self, carrier: Pipe | Memory, limit: int) -> int:
        assert isinstance(carrier, Memory)
        data = self._stream.take(min(limit, READ_SIZE))
        if data is None:
            self._check()
            raise BlockingIOError
        carrier.load(data)
        self._received(len(data))
        return len(data)

    def empty(self, carrier: Pipe | Memory) -> None:
        assert isinstance(carrier, Memory)
        self._check()
        if self._stream.blocked:
            raise BlockingIOError
        self._sent(carrier.held)
        self._stream.send(carrier.unload())

    async def wait_readable(self) -> None:
        await self._stream.wait_arrival()

    async def wait_writable(self) -> None:
        await self._stream.wait_unblocked()

    def on_loss(self, call: Callable[[], None] | None) -> None:
        self._stream.on_failure(call)

    async def finish(self) -> None:
        await self._stream.wait_unblocked()
        self._check()
        self._stream.finish()

    def _check(self) -> None:
        if self._stream.lost:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
