"""One accepted connection: the only file of the downstream side that touches a socket's bytes."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from proxy.config.common import Address
from proxy.errors import ProxyError
from proxy.limits import FAIR_BURST, LEAST_READ, LINGER_BYTES, PIPE_SIZE, READ_SIZE
from proxy.net import poller
from proxy.net.peer import PEER_GONE, address_of, disconnected
from proxy.stats import Counter

if TYPE_CHECKING:  # who has no TLS loads none of it
    from proxy.http.stream_info import StreamInfo
    from proxy.net.client_hello import ClientHello
    from proxy.net.tls.session import TlsSession
    from proxy.net.tls.socket import TlsSocket

_WORTH_COPYING = 8 * 1024
"""Bytes that are copied to be sent in one piece, as that is cheaper than handing the kernel two."""


class Connection:
    """A non-blocking stream socket under one cancel scope.

    `scope` bounds everything that the connection's task does; `deadline(seconds)` rewrites its deadline for the next
    phase. Without a task (`scope` is None), who serves the connection has set `on_end`. `opened_at` is the event
    loop's time. `idle` is true while the connection waits for a request, so that a drain may close it. `sending`
    stays true when a `send` was cancelled: the peer has a part of it, and nothing may follow. `close_type` is how it
    ended (`%DOWNSTREAM_DETECTED_CLOSE_TYPE%`). `bytes_received` and `bytes_sent` count what passed the socket. `id`
    is the connection's number (`%CONNECTION_ID%`). `buffer_limit` (bytes) bounds what is held, and so one receive.
    `filter_chain` is the name of the listener's chain that serves it. `protocol` is what the peer speaks ("http1",
    "http2"), empty while that is not known. `stateful`: both ends share a state that no other process could take over.
    `receive` and `send` raise `ProxyError` (flag DC) when the peer is gone. `tls` is what is known of a peer that
    speaks TLS with us, None for one that does not. `hello` is its first message, None where nobody looked at it, or it
    is not of TLS; then `not_tls` says so in Envoy's words. `info` is what the listener's access log will say of it,
    None if there is no such log. `restored`: `local` is what the peer had asked for, not ours.
    """

    __slots__ = (
        "_burst",
        "_fd",
        "_local",
        "_read_size",
        "_remote",
        "_rx",
        "_socket",
        "_trio_knows",
        "_tx",
        "_watch",
        "buffer_limit",
        "bytes_received",
        "bytes_sent",
        "close_type",
        "closed_by_peer",
        "filter_chain",
        "hello",
        "id",
        "idle",
        "info",
        "not_tls",
        "on_end",
        "opened_at",
        "protocol",
        "restored",
        "scope",
        "sending",
        "stateful",
        "tls",
    )

    def __init__(
        self, sock: socket.socket, scope: trio.CancelScope | None = None, *, buffer_limit: int = PIPE_SIZE, id: int = 0
    ) -> None:
        self.id = id
        self._socket = sock
        self._fd = sock.fileno()
        self._burst = 0
        self.buffer_limit = buffer_limit
        self._read_size = min(READ_SIZE, buffer_limit)
        self._rx: Counter | None = None
        self._tx: Counter | None = None
        self._watch: poller.Watch | None = None
        self._trio_knows = False  # that trio may be waiting for the descriptor
        self._remote: Address | None = None
        self._local: Address | None = None
        self.restored = False
        self.scope = scope
        self.on_end: Callable[[], None] | None = None
        self.opened_at = trio.current_time()
        self.idle = False
        self.protocol = ""
        self.stateful = False
        self.closed_by_peer = False
        self.close_type = b"Normal"
        self.filter_chain = ""
        self.info: StreamInfo | None = None
        self.sending = False
        self.tls: TlsSession | None = None
        self.hello: ClientHello | None = None
        self.not_tls = ""
        self.bytes_received = 0
        self.bytes_sent = 0

    @property
    def fd(self) -> int:
        """The descriptor, for polling alone; -1 once closed."""
        return self._fd

    def secure(self, wrap: Callable[[socket.socket], TlsSocket]) -> TlsSocket:
        """Speak TLS from now on. The handshake is the caller's to run, and `tls` the caller's to set."""
        sock = self._socket = wrap(self._socket)
        return sock

    @property
    def socket(self) -> socket.socket:
        """For a relay (`proxy/net/relay.py`, `proxy/net/passage.py`), which reads and writes it itself and counts the
        bytes."""
        self._trio_knows = True
        return self._socket

    async def wait_writable(self) -> None:
        """Until the socket takes more."""
        self._trio_knows = True
        await trio.lowlevel.wait_writable(self._fd)

    def leave_watch(self) -> None:
        """A relay has the socket from now on, to its end; nobody else waits for it."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    @property
    def remote(self) -> Address:
        """The peer's address."""
        if self._remote is None:
            self._remote = address_of(self._socket, peer=True)
        return self._remote

    @property
    def server_name(self) -> str:
        """What the client has asked for by TLS, with us or through us, in lower case; "" for nothing."""
        if self.tls is not None and self.tls.server_name:
            return self.tls.server_name
        return self.hello.server_name if self.hello is not None else ""

    def know_peer(self) -> None:
        """Ask for the peer's address now, for who will want it when the peer may be gone."""
        self._remote = self.remote

    @property
    def local(self) -> Address:
        """The address the peer connected to."""
        if self._local is None:
            self._local = address_of(self._socket, peer=False)
        return self._local

    def restore(self, address: Address) -> None:
        """`address` is where the peer wanted to connect to, before it was led here."""
        self._local, self.restored = address, True

    def count_bytes(self, received: Counter, sent: Counter) -> None:
        """Count into these stats as well from now on."""
        self._rx, self._tx = received, sent

    def deadline(self, seconds: float) -> None:
        """The connection ends `seconds` from now unless the deadline is rewritten before; 0 means never. Its task's."""
        assert self.scope is not None
        self.scope.deadline = trio.current_time() + seconds if seconds > 0 else float("inf")

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self.scope is not None and self.scope.deadline <= trio.current_time()

    def end(self) -> None:
        """Whoever serves this connection stops now, and closes it."""
        if self.scope is None and self.on_end is not None:
            self.on_end()  # which begins a task for what is in progress
        if self.scope is not None:
            self.scope.cancel()

    async def wait_readable(self) -> None:
        """Until there are bytes, or the peer has closed: where a keep-alive connection spends its life."""
        self._burst = 0
        await self._wait_readable()

    def watch(self) -> poller.Watch:
        """The watch over this connection, which begins now if it has not. A relay has none."""
        if self._watch is None:
            self._watch = poller.watch(self._fd)
        return self._watch

    def on_ready(self, call: Callable[[], None] | None) -> None:
        """Call this at every event instead of waking a task; None ends that."""
        if call is not None or self._watch is not None:
            self.watch().on_ready = call

    @property
    def has_news(self) -> bool:
        """Whether a read may bring something, for all that is known without asking the kernel."""
        return self._watch is None or self._watch.readable

    async def receive(self) -> bytes:
        """The next bytes; `b""` once the peer has finished sending."""
        if self._burst >= FAIR_BURST:
            await self._yield()
        self._burst += 1
        while (data := self._receive()) is None:
            self._burst = 1
            await self._wait_readable()
        return data

    def receive_now(self) -> bytes | None:
        """What is there; None if that is nothing, `b""` if the peer is done or gone."""
        try:
            return self._receive()
        except ProxyError:
            return b""

    def _receive(self) -> bytes | None:
        try:
            data = self._socket.recv(self._read_size)
        except BlockingIOError:
            self.found_nothing()
            return None
        except OSError as error:
            raise self.lost(error) from error
        size = len(data)
        if not size:
            self.closed_by_peer = True
            return data
        if self._watch is not None and size < self._read_size and self.tls is None:
            self._watch.drained()
        self.count_received(size)
        return data

    @property
    def read_size(self) -> int:
        """How much one `receive` brings at most."""
        return self._read_size

    def pace(self, *, slower: bool) -> None:
        """Read less at once than before, down to `LEAST_READ`, or again more, up to what is usual."""
        size = self._read_size // 4 if slower else self._read_size * 2
        self._read_size = min(max(size, LEAST_READ), READ_SIZE, self.buffer_limit)

    def found_nothing(self) -> None:
        """A read has found nothing (EAGAIN)."""
        if self._watch is not None:
            self._watch.readable = False

    def count_received(self, size: int) -> None:
        """`size` bytes have come from the socket."""
        self.bytes_received += size
        if self._rx is not None:
            self._rx.inc(size)

    async def send(self, data: bytes) -> None:
        """All of `data`; returns when the kernel has taken it, so that a slow peer holds its sender back."""
        if self._burst >= FAIR_BURST:
            await self._yield()
        self._burst += 1
        self.sending = True
        sent = self._send(data)
        while sent < len(data):
            self._burst = 1
            await self.wait_writable()
            sent += self._send(memoryview(data)[sent:])
        self.sending = False

    def send_now(self, head: bytes, body: bytes | memoryview) -> int:
        """How much of both the kernel takes without waiting; nothing if the peer is gone."""
        try:
            return self._send(head + body) if len(body) <= _WORTH_COPYING else self._send(head, body)
        except ProxyError:
            return 0

    def _send(self, data: bytes | memoryview, more: bytes | memoryview | None = None) -> int:
        try:
            sent = self._socket.send(data) if more is None else self._socket.sendmsg((data, more))
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self.lost(error) from error
        self.count_sent(sent)
        return sent

    def count_sent(self, size: int) -> None:
        """The socket has taken `size` bytes."""
        self.bytes_sent += size
        if self._tx is not None:
            self._tx.inc(size)

    def reset(self) -> None:
        """Close the socket so that the peer sees a reset."""
        if self._fd >= 0:
            self.close_type = b"LocalReset"
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    async def linger(self) -> None:
        """Finish sending, then drop what the peer still sends until it closes: a close with unread bytes would
        reset the connection and may destroy the reply in flight (RFC 9112 §9.6). The caller sets the deadline.
        """
        try:
            self._socket.shutdown(socket.SHUT_WR)
            dropped = 0
            while dropped < LINGER_BYTES:
                data = await self.receive()
                if not data:
                    return
                dropped += len(data)
        except OSError as error:
            if error.errno not in PEER_GONE:
                raise
        except ProxyError:
            return

    def peek(self, size: int) -> bytes | None:
        """What is there, which stays there; None if that is nothing, `b""` if the peer is done. Raises as `receive`."""
        try:
            return self._socket.recv(size, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError as error:
            raise self.lost(error) from error

    def has_input(self) -> bool:
        """Whether bytes wait to be received: a request that a drain must not cut off."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in PEER_GONE:
                raise
            return False

    def close(self) -> None:
        """Close the socket. May be called twice."""
        if self._fd >= 0:
            if (
                self.info is not None
                and self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
            ):
                self.close_type = b"RemoteReset"  # which nobody has read
            if self._watch is not None:
                self._watch.close()
            if self._trio_knows:
                trio.lowlevel.notify_closing(self._fd)
            self._fd = -1
            self._socket.close()

    def give_away(self) -> None:
        """Another process has this idle connection now: what is ours of it ends, and the peer notices nothing."""
        self.end()  # before the close, so that whoever waits is not told of a closed socket
        self.close()

    async def _wait_readable(self) -> None:
        try:
            await self.watch().wait_readable()
        except trio.ClosedResourceError:  # given away just when something came
            raise disconnected() from None

    async def _yield(self) -> None:
        self._burst = 0
        await trio.lowlevel.checkpoint()

    def lost(self, error: OSError) -> Exception:
        """What `error` of the socket comes to: a `ProxyError` if the peer is gone."""
        if self._fd < 0:  # given away while its task was about to read
            return disconnected()
        if error.errno not in PEER_GONE:
            return error
        self.closed_by_peer = True
        if error.errno == errno.ECONNRESET:
            self.close_type = b"RemoteReset"
        return disconnected()
