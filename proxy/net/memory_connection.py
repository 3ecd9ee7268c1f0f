"""A client's connection in memory: what it sends is known from the beginning, and nobody waits for anything."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from proxy.config.common import Address, SocketAddress

NOBODY = SocketAddress("127.0.0.1", 0)


class MemoryConnection:
    """Stands for a `Connection`: the client's bytes piece by piece, then the end of its side. `sent` is what it gets.

    To be served under `scope`. `lingered`: we were the first to close. `tls` is what stands for a `TlsSession`.
    """

    def __init__(
        self, arriving: Iterable[bytes], *, remote: Address = NOBODY, local: Address = NOBODY, tls: object = None
    ) -> None:
        self._arriving = list(arriving)
        self.sent = b""
        self.fd = -1
        self.id = 0
        self.idle = self.stateful = False
        self.protocol = ""
        self.sending = False
        self.closed_by_peer = False
        self.remote = remote
        self.local = local
        self.tls = tls
        self.server_name: str = getattr(tls, "server_name", "")
        self.bytes_received = self.bytes_sent = 0
        self.scope = trio.CancelScope()
        self.opened_at = 0.0
        self.expired = False
        self.lingered = False
        self.info = self.hello = None
        self.not_tls = ""
        self.filter_chain = ""
        self.close_type = b"Normal"

    def count_bytes(self, received: object, sent: object) -> None:
        """Nobody reads them."""

    def deadline(self, seconds: float) -> None:
        """Nothing waits for the client."""

    async def wait_readable(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._arriving.pop(0) if self._arriving else b""

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.sent += data

    async def linger(self) -> None:
        self.lingered = True
