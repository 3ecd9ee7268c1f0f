"""What a relay joins: sockets, or whatever behaves like one (a stream of HTTP/2, `proxy/http/h2_tunnel.py`)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

import trio

from proxy.net.pipe import Memory, Pipe, splices

Count = Callable[[int], None]


class End(Protocol):
    """One of the two. It counts the bytes that pass it, and has the manners of a non-blocking socket: `fill` and
    `empty` raise `BlockingIOError` where it is not ready, and these and `finish` another `OSError` once its peer is
    gone.
    """

    @property
    def splices(self) -> bool:
        """Whether a pipe may carry its bytes."""
        ...

    @property
    def limit(self) -> int:
        """How many bytes that are for it may be held now."""
        ...

    def fill(self, carrier: Pipe | Memory, limit: int) -> int:
        """Put up to `limit` bytes that have come into the empty `carrier`; 0 at the end."""
        ...

    def empty(self, carrier: Pipe | Memory) -> None:
        """Take of `carrier` as much as there is room for."""
        ...

    async def wait_readable(self) -> None: ...
    async def wait_writable(self) -> None: ...
    def on_loss(self, call: Callable[[], None] | None) -> None:
        """Call this when the peer is gone, if that can be known without a look; None ends that."""
        ...

    async def finish(self) -> None:
        """Nothing more comes for it. Its peer may still have something to say."""
        ...


class SocketEnd:
    """A connected socket of which nobody else waits for anything."""

    __slots__ = ("_received", "_sent", "limit", "sock", "splices")

    def __init__(self, sock: socket.socket, limit: int, received: Count, sent: Count) -> None:
        self.sock = sock
        self.limit = limit
        self.splices = splices(sock)
        self._received = received
        self._sent = sent

    def fill(self, carrier: Pipe | Memory, limit: int) -> int:
        taken = carrier.fill(self.sock, limit)
        self._received(taken)
        return taken

    def empty(self, carrier: Pipe | Memory) -> None:
        self._sent(carrier.empty(self.sock))

    async def wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(self.sock)

    async def wait_writable(self) -> None:
        await trio.lowlevel.wait_writable(self.sock)

    def on_loss(self, call: Callable[[], None] | None) -> None:
        """Who reads or writes it finds out."""

    async def finish(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)
