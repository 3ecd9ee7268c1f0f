"""Filters in Python that the conformance suite runs: one that waits, one of hooks."""

from __future__ import annotations

import trio

from proxy.python_filter import CallNext, Exchange, Filter, ResponseHead, local_reply

FLIPPED = bytes(255 - octet for octet in range(256))


class Waits(Filter):
    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        await trio.lowlevel.checkpoint()
        exchange.on_response_headers(lambda head: head.headers.set(b"x-seen", b"1"))
        try:
            await call_next(exchange)
        finally:
            assert exchange.info.status >= 0


class Hooks(Filter):
    def on_request_headers(self, exchange: Exchange) -> None:
        exchange.request.headers.set(b"x-seen", b"1")

    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None:
        head.headers.set(b"x-seen", b"1")


class Flip:
    """Every bit of a body becomes the other one."""

    def feed(self, data: bytes) -> bytes:
        return data.translate(FLIPPED)

    def finish(self) -> bytes:
        return b""


async def flip(exchange: Exchange, call_next: CallNext) -> None:
    exchange.transform_response(Flip())
    await call_next(exchange)


async def deny(exchange: Exchange, call_next: CallNext) -> None:
    raise local_reply(403, "no")
