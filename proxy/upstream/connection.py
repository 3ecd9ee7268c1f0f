"""One upstream connection: a non-blocking socket. The only place that reads or writes it."""

from __future__ import annotations

import errno
import socket

import trio

from proxy.config.common import Address
from proxy.http.stream_info import UpstreamConnection
from proxy.limits import PIPE_SIZE, READ_SIZE
from proxy.net import poller
from proxy.net.peer import address_of
from proxy.net.pipe import splices
from proxy.upstream.stats import ClusterStats

# The peer, or the path to it, is gone. Anything else is our own mistake and must not pass for a network failure.
_LOST = frozenset(
    {
        errno.ECONNRESET,
        errno.EPIPE,
        errno.ETIMEDOUT,
        errno.ECONNABORTED,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENETRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ECONNREFUSED,  # an ICMP error that arrived late
        errno.ENOTCONN,
        errno.EPROTO,
    }
)


class ConnectionLost(Exception):
    """The peer reset the connection, or the network lost it."""


class Connection:
    """`identity` is its number and when it was made. `requests` counts those that began here. `buffer_limit` (bytes)
    bounds what is held. Times are trio's clock, in seconds.
    """

    __slots__ = (
        "_local",
        "_plain",
        "_read_size",
        "_sock",
        "_stats",
        "buffer_limit",
        "created",
        "identity",
        "idle_since",
        "requests",
        "watch",
    )

    def __init__(
        self,
        sock: socket.socket,
        stats: ClusterStats,
        *,
        buffer_limit: int = PIPE_SIZE,
        identity: UpstreamConnection | None = None,
    ) -> None:
        self._sock = sock
        self._plain = splices(sock)  # a record says nothing about what comes behind it
        self._local: Address | None = None
        self.buffer_limit = buffer_limit
        self._read_size = min(READ_SIZE, buffer_limit)
        self._stats = stats
        self.watch = poller.watch(sock.fileno())
        self.requests = 0
        self.created = self.idle_since = now = trio.current_time()
        self.identity = identity or UpstreamConnection(0, now, now)

    @property
    def socket(self) -> socket.socket:
        """For `proxy/net/passage.py`, which reads and writes it and has the bytes counted here."""
        return self._sock

    def leave_watch(self) -> None:
        """A relay has the socket from now on, to its end; nobody else waits for it."""
        self.watch.close()

    @property
    def local(self) -> Address:
        """Our end's address."""
        if self._local is None:
            self._local = address_of(self._sock, peer=False)
        return self._local

    def read_at_most(self, size: int) -> None:
        """One receive brings no more than `size` bytes from now on."""
        self._read_size = min(READ_SIZE, self.buffer_limit, size)

    async def send(self, data: bytes) -> None:
        """Send all of `data`; waits while the socket's buffer is full. Raises `ConnectionLost`."""
        sent = self._send_some(data)
        while sent < len(data):
            await trio.lowlevel.wait_writable(self._sock)
            sent += self._send_some(memoryview(data)[sent:])

    def _send_some(self, data: bytes | memoryview) -> int:
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self.lost(error) from error
        self.count_sent(sent)
        return sent

    def count_sent(self, size: int) -> None:
        """The socket has taken `size` bytes."""
        self._stats.cx_tx_bytes_total.inc(size)

    def send_now(self, data: bytes) -> bool:
        """Send all of `data` or give up: False if the peer is gone, or did not take it at once."""
        try:
            return self._send_some(data) == len(data)
        except ConnectionLost:
            return False

    async def receive(self) -> bytes:
        """The next bytes; b"" when the peer has finished. Raises `ConnectionLost`.

        Waits for readiness first, even if bytes are there: that is the checkpoint which keeps one busy connection
        from starving the others.
        """
        while True:
            await self.wait_readable()
            data = self._receive()
            if data is not None:
                return data

    def receive_now(self) -> bytes | None:
        """What is there; None if that is nothing, b"" if the peer is done or gone."""
        if not self.watch.readable:
            return None
        try:
            return self._receive()
        except ConnectionLost:
            return b""

    def _receive(self) -> bytes | None:
        try:
            data = self._sock.recv(self._read_size)
        except BlockingIOError:
            self.found_nothing()
            return None
        except OSError as error:
            raise self.lost(error) from error
        size = len(data)
        if size < self._read_size and self._plain:
            self.watch.drained()
        self.count_received(size)
        return data

    def found_nothing(self) -> None:
        """A read has found nothing (EAGAIN)."""
        self.watch.readable = False

    def count_received(self, size: int) -> None:
        """`size` bytes have come from the socket."""
        self._stats.cx_rx_bytes_total.inc(size)

    async def wait_readable(self) -> None:
        """Until there are bytes, or the peer has closed."""
        await self.watch.wait_readable()

    def is_quiet(self) -> bool:
        """Whether an idle connection is still good: neither closed nor with bytes that nobody asked for."""
        if not self.watch.readable:
            return True
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            self.watch.readable = False
            return True
        except OSError as error:
            self.lost(error)
        return False

    def lost(self, error: OSError) -> ConnectionLost:
        """What `error` of the socket comes to; raises it if it is none of the network's."""
        if error.errno not in _LOST:
            raise error
        return ConnectionLost(error.strerror)

    def close(self) -> None:
        self.watch.close()
        self._sock.close()
