"""A request whose body becomes the bytes of a TCP connection, and whose response is what comes back: Envoy's
`TcpUpstream`. The host hears nothing of HTTP.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import trio

from proxy.config.common import Address
from proxy.errors import ProxyError
from proxy.http.events import DataReceived, Event, ResponseReceived, StreamEnded
from proxy.http.headers import Headers
from proxy.http.stream_info import UpstreamConnection
from proxy.limits import READ_SIZE
from proxy.net.peer import PEER_GONE, address_of
from proxy.net.relay_end import End
from proxy.upstream.judge import Judge
from proxy.upstream.stats import Outcomes
from proxy.upstream.stream import UpstreamStream
from proxy.upstream.tcp import TcpConnection

if TYPE_CHECKING:
    from proxy.upstream.tcp_pool import TcpPool


class TcpStream(UpstreamStream):
    """As `UpstreamStream`. The response begins at once, as 200: there is a connection, and more cannot be known. The
    end of the one direction leaves the other one open.
    """

    __slots__ = (
        "_answered",
        "_connection",
        "_identity",
        "_local",
        "_peer_gone",
        "_read_size",
        "bytes_received",
        "bytes_sent",
        "header_bytes_received",
        "header_bytes_sent",
    )

    tells_scheme = False
    bytes_sent: int
    bytes_received: int
    header_bytes_sent: int
    header_bytes_received: int

    def __init__(
        self,
        pool: TcpPool,
        connection: TcpConnection,
        identity: UpstreamConnection,
        outcomes: Outcomes,
        judge: Judge | None,
    ) -> None:
        super().__init__(pool, outcomes, judge, reused=False)
        self._connection = connection
        self._identity = identity
        self._local = address_of(connection.sock, peer=False)
        self._answered = False
        self._peer_gone = False
        self._read_size = READ_SIZE
        self.bytes_sent = self.bytes_received = 0
        self.header_bytes_sent = self.header_bytes_received = 0

    @property
    def local(self) -> Address:
        return self._local

    @property
    def identity(self) -> UpstreamConnection:
        return self._identity

    async def send_request(
        self,
        method: bytes,
        path: bytes,
        authority: bytes,
        headers: Headers,
        *,
        end_stream: bool,
        flush: bool = True,
        scheme: bytes = b"http",
    ) -> None:
        if end_stream:
            await self.send_end()

    async def send_data(self, data: bytes, *, flush: bool = True) -> None:
        left = memoryview(data)
        while left and not self._peer_gone:
            try:
                sent = self._connection.sock.send(left)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._connection.sock)
            except OSError as error:
                self._lose(error)
            else:
                left = left[sent:]
                self.bytes_sent += sent
                self._connection.stats.cx_tx_bytes_total.inc(sent)

    async def send_end(self, trailers: Headers | None = None) -> None:
        if self._peer_gone:
            return
        try:
            self._connection.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._lose(error)
        else:
            self._request_ended_at = trio.current_time()

    @property
    def pending(self) -> bool:
        return not self._answered

    @property
    def ending(self) -> bool:
        return False

    async def _next(self) -> Event:
        """UC if the connection breaks."""
        if not self._answered:
            self._answered = True
            return ResponseReceived(0, 200, "", Headers(), end_stream=False)
        data = await self._read()
        if not data:
            if self._peer_gone:  # a send has been told so, and there is no second word of it
                raise self._failed("connection termination")
            return StreamEnded(0)
        self.bytes_received += len(data)
        self._connection.stats.cx_rx_bytes_total.inc(len(data))
        return DataReceived(0, data)

    async def _read(self) -> bytes:
        while True:
            try:
                return self._connection.sock.recv(self._read_size)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._connection.sock)
            except OSError as error:
                self._lose(error)
                raise self._failed("connection termination") from error

    def _lose(self, error: OSError) -> None:
        """`error` says that the peer is gone; any other one is raised."""
        if error.errno not in PEER_GONE:
            raise error
        self._peer_gone = True

    def read_at_most(self, size: int) -> None:
        self._read_size = size

    def broken(self) -> ProxyError:
        raise AssertionError("there is no protocol to break")

    def leave_http(self) -> tuple[End, bytes]:
        raise AssertionError("it never was HTTP")

    def end_tunnel(self, *, by_upstream: bool) -> ProxyError | None:
        raise AssertionError("it is no tunnel of HTTP's")

    def close(self) -> None:
        complete = self._complete
        self._connection.close(remote=self._peer_gone or complete, with_active_rq=not complete)
