"""Bodies on their way: the request's to the upstream, the response's to the client. Both pull, so that not reading is
the back-pressure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from proxy.errors import ProxyError
from proxy.filters.router.request_body import Source
from proxy.http.body_relay import pass_around
from proxy.http.events import DataReceived, InformationalReceived, ResponseReceived, StreamEnded
from proxy.http.exchange import Exchange
from proxy.net.pipe import PipePool
from proxy.upstream.stream import UpstreamStream


async def upload(exchange: Exchange, source: Source, stream: UpstreamStream, pipes: PipePool) -> None:
    """Send what is left of the request's body, and its end, with its trailers where both codecs take them
    (`enable_trailers`). Raises `ProxyError`.
    """
    touch = exchange.deadlines.touch
    while data := await source.read():
        await stream.send_data(data, flush=not source.pending)
        touch()
        await pass_around(source, stream, pipes, touch)
    await stream.send_end(source.trailers)


async def receive_head(exchange: Exchange, stream: UpstreamStream) -> ResponseReceived:
    """The head of the response. Raises `ProxyError`."""
    if exchange.handover is not None and exchange.handover.received:
        stream.feed(exchange.handover.received)
    if size := exchange.read_size:
        stream.read_at_most(size)
    event = await stream.receive()
    while isinstance(event, InformationalReceived):
        if exchange.tells_informational:
            await exchange.send_informational(event.status, event.headers)
        event = await stream.receive()
    if not isinstance(event, ResponseReceived):
        raise AssertionError(f"{event!r} before a response")
    return event


async def download(
    exchange: Exchange, stream: UpstreamStream, pipes: PipePool, heard: Callable[[], None] | None = None
) -> None:
    """Pass on the body of a response whose head has been sent; `heard` is told of each piece. Raises `ProxyError`."""
    touch = exchange.deadlines.touch

    def moved() -> None:
        touch()
        if heard is not None:
            heard()

    ended = False
    while not ended:
        await pass_around(stream, exchange, pipes, moved)
        if size := exchange.read_size:
            stream.read_at_most(size)
        piece = await stream.receive()
        if heard is not None:
            heard()
        if isinstance(piece, DataReceived):
            exchange.info.response_body_begun = exchange.info.response_body_begun or trio.current_time()
            await exchange.send_data(piece.data, flush=not stream.pending, last=stream.ending)
        else:
            await exchange.send_end(piece.trailers if isinstance(piece, StreamEnded) else None)
            ended = True


async def both_ways(up: Callable[[], Awaitable[None]], down: Callable[[], Awaitable[None]]) -> None:
    """Run `up` beside `down`, whose end is the end of both. Raises the `ProxyError` of whichever failed first."""
    failures: list[ProxyError] = []

    async def uploading() -> None:
        try:
            await up()
        except ProxyError as error:
            failures.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(uploading)
        try:
            await down()
        except ProxyError as error:
            failures.append(error)
        nursery.cancel_scope.cancel()
    if failures:
        raise failures[0]
