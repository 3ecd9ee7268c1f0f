"""What is left of an exchange once both sides have left HTTP: bytes, both ways, to the end of either connection.

What either codec has read beyond its head goes first. Nothing goes up before the upstream has agreed: a refused client
may have sent what reads like another request. The exchange's deadlines go on, but for the route's timeout.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import trio

from proxy.errors import Flag
from proxy.filters.router.attempt_deadlines import AttemptDeadlines
from proxy.http.deadlines import Phase
from proxy.http.exchange import Exchange
from proxy.net.pipe import PipePool
from proxy.net.relay import Direction, Relay, Side, Touched
from proxy.upstream import failures
from proxy.upstream.http1_stream import Http1Stream
from proxy.upstream.tcp import TcpConnection

Count = Callable[[int], None]


class _Moved:
    """Tells the exchange's deadlines, and the attempt's, of bytes that have moved."""

    __slots__ = ("_deadlines", "_limits")

    def __init__(self, exchange: Exchange, limits: AttemptDeadlines) -> None:
        self._deadlines = exchange.deadlines
        self._limits = limits

    def touch(self) -> None:
        self._deadlines.touch()
        self._limits.heard()


async def over_stream(
    exchange: Exchange, stream: Http1Stream, pipes: PipePool, limits: AttemptDeadlines | None
) -> None:
    """The tunnel of a response that opened one, which has been sent."""
    upstream, greeting = stream.leave_http()

    def received(count: int) -> None:
        upstream.count_received(count)
        stream.bytes_received += count

    def sent(count: int) -> None:
        upstream.count_sent(count)
        stream.bytes_sent += count

    upstream.leave_watch()
    far_end = _FarEnd(upstream.socket, upstream.buffer_limit, received, sent, greeting)
    touched: Touched = exchange.deadlines if limits is None else _Moved(exchange, limits)
    stream.peer_gone = await _run(exchange, far_end, pipes, touched) == "upstream"


async def over_tcp(exchange: Exchange, upstream: TcpConnection, pipes: PipePool) -> Side:
    """The tunnel to the far end of a CONNECT that we terminate. Says who ended it."""
    info, stats = exchange.info, upstream.stats

    def received(count: int) -> None:
        stats.cx_rx_bytes_total.inc(count)
        info.upstream_bytes_received += count

    def sent(count: int) -> None:
        stats.cx_tx_bytes_total.inc(count)
        info.upstream_bytes_sent += count

    return await _run(exchange, _FarEnd(upstream.sock, upstream.limit, received, sent), pipes, exchange.deadlines)


class _FarEnd:
    """The upstream's side: its socket, how many bytes may wait for it, who counts them, and what it has said."""

    __slots__ = ("greeting", "limit", "received", "sent", "sock")

    def __init__(self, sock: socket.socket, limit: int, received: Count, sent: Count, greeting: bytes = b"") -> None:
        self.sock = sock
        self.limit = limit
        self.received = received
        self.sent = sent
        self.greeting = greeting


async def _run(exchange: Exchange, far: _FarEnd, pipes: PipePool, touched: Touched) -> Side:
    exchange.deadlines.disarm(Phase.ROUTE)
    info = exchange.info
    client, early = exchange.leave_http()
    info.bytes_received += len(early)
    client.leave_watch()
    sock = client.socket

    def received(count: int) -> None:
        client.count_received(count)
        info.bytes_received += count

    def sent(count: int) -> None:
        client.count_sent(count)
        info.bytes_sent += count

    up = Direction("downstream", sock, far.sock, far.limit, received, far.sent, _uncounted, first=early)
    down = Direction(
        "upstream", far.sock, sock, client.buffer_limit, far.received, sent, _uncounted, first=far.greeting
    )
    relay = Relay(up, down, pipes, touched)
    await relay.run()
    info.response_received = trio.current_time()
    if relay.ended_by == "downstream":
        client.closed_by_peer = info.response_complete = True
        info.flags.add(Flag.DOWNSTREAM_CONNECTION_TERMINATION)
        info.detail = "downstream_remote_disconnect"
        return "downstream"
    exchange.note(failures.reset("connection termination", response_started=True))
    return "upstream"


def _uncounted(count: int) -> None:
    """No stat tells of bytes that wait."""
