"""Five filters of the kinds that users write: look, edit the request, edit the response, time it, a hook of either."""

from __future__ import annotations

import time

from proxy.python_filter import CallNext, Exchange, Filter, local_reply


class Look(Filter):
    """Reads a header and turns away who has it."""

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        if exchange.request.headers.get(b"x-forbidden") is not None:
            raise local_reply(403, "not here\n")
        await call_next(exchange)


class EditRequest(Filter):
    """Adds a header to the request."""

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        exchange.request.headers.set(b"x-tenant", b"bench")
        await call_next(exchange)


class EditResponse(Filter):
    """Adds a header to the response."""

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        exchange.on_response_headers(lambda head: head.headers.set(b"cache-control", b"private"))
        await call_next(exchange)


class Time(Filter):
    """Keeps the longest time that a request took."""

    longest = 0.0

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        start = time.monotonic()
        try:
            await call_next(exchange)
        finally:
            self.longest = max(self.longest, time.monotonic() - start)


class Count(Filter):
    """Counts requests by method."""

    def __init__(self, config: object = None) -> None:
        super().__init__(config)
        self.counts: dict[bytes, int] = {}

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        method = exchange.request.method
        self.counts[method] = self.counts.get(method, 0) + 1
        await call_next(exchange)
