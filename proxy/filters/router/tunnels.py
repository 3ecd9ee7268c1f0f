"""What is left of an exchange once both sides have left HTTP: bytes, both ways, to the end of either connection.

What either codec has read beyond its head goes first. Nothing goes up before the upstream has agreed: a refused client
may have sent what reads like another request. The exchange's deadlines go on, but for the route's timeout.
"""

from __future__ import annotations

import trio

from proxy.errors import ProxyError
from proxy.filters.router.attempt_deadlines import AttemptDeadlines
from proxy.http.deadlines import Phase
from proxy.http.exchange import Exchange
from proxy.net.pipe import PipePool
from proxy.net.relay import Direction, Relay, Touched
from proxy.net.relay_end import End, SocketEnd
from proxy.upstream import failures
from proxy.upstream.stream import UpstreamStream
from proxy.upstream.tcp import TcpConnection


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
    exchange: Exchange, stream: UpstreamStream, pipes: PipePool, limits: AttemptDeadlines | None
) -> None:
    """The tunnel of a response that opened one, which has been sent."""
    far, greeting = stream.leave_http()
    touched: Touched = exchange.deadlines if limits is None else _Moved(exchange, limits)
    relay = await _run(exchange, far, greeting, pipes, touched)
    _note(exchange, stream.end_tunnel(by_upstream=_by_upstream(exchange, relay)))


async def over_tcp(exchange: Exchange, upstream: TcpConnection, pipes: PipePool, greeting: bytes) -> Relay:
    """The tunnel to the far end of a CONNECT that we terminate, which hears the `greeting` first."""
    info, stats = exchange.info, upstream.stats

    def received(count: int) -> None:
        stats.cx_rx_bytes_total.inc(count)
        info.upstream_bytes_received += count

    def sent(count: int) -> None:
        stats.cx_tx_bytes_total.inc(count)
        info.upstream_bytes_sent += count

    far = SocketEnd(upstream.sock, upstream.limit, received, sent)
    relay = None
    with trio.CancelScope() as wanted:
        upstream.on_abandoned = wanted.cancel
        relay = await _run(exchange, far, b"", pipes, exchange.deadlines, told=greeting)
    upstream.on_abandoned = None
    if relay is None:
        raise failures.reset("connection termination", response_started=True)
    if relay.reset_by == "upstream" and _by_upstream(exchange, relay):
        _note(exchange, failures.reset("connection termination", response_started=True))
    return relay


async def _run(
    exchange: Exchange, far: End, greeting: bytes, pipes: PipePool, touched: Touched, told: bytes = b""
) -> Relay:
    """`greeting` has come of `far` already; `told` goes there before all else."""
    exchange.deadlines.disarm(Phase.ROUTE)
    near, early = exchange.leave_http()
    up = Direction("downstream", near, far, first=told + early)
    relay = Relay(up, Direction("upstream", far, near, first=greeting), pipes, touched)
    await relay.run()
    if relay.reset_by == "downstream" and (failure := exchange.failure()) is not None:
        raise failure  # of a stream we know why
    exchange.end_tunnel(by_client=not _by_upstream(exchange, relay))
    return relay


def _by_upstream(exchange: Exchange, relay: Relay) -> bool:
    """Whether the end is the upstream's: who was the first to end its side. A client that has ended its side of a
    stream still waits for the other one, though, which the upstream may cut.
    """
    return relay.ended_by == "upstream" or (exchange.multiplexed and relay.reset_by == "upstream")


def _note(exchange: Exchange, failure: ProxyError | None) -> None:
    if failure is not None:
        exchange.info.response_complete = False
        exchange.note(failure)
