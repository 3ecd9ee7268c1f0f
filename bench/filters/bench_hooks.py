"""The five filters of `bench_filters` as far as they never wait: hooks, which cost no coroutine."""

from __future__ import annotations

import trio

from proxy.python_filter import Exchange, Filter, ResponseHead, local_reply


class Look(Filter):
    """Reads a header and turns away who has it."""

    def on_request_headers(self, exchange: Exchange) -> None:
        if exchange.request.headers.get(b"x-forbidden") is not None:
            raise local_reply(403, "not here\n")


class EditRequest(Filter):
    """Adds a header to the request."""

    def on_request_headers(self, exchange: Exchange) -> None:
        exchange.request.headers.set(b"x-tenant", b"bench")


class EditResponse(Filter):
    """Adds a header to the response."""

    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None:
        head.headers.set(b"cache-control", b"private")


class Time(Filter):
    """Keeps the longest time until a response began."""

    longest = 0.0

    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None:
        self.longest = max(self.longest, trio.current_time() - exchange.info.started)


class Count(Filter):
    """Counts requests by method."""

    def __init__(self, config: object = None) -> None:
        super().__init__(config)
        self.counts: dict[bytes, int] = {}

    def on_request_headers(self, exchange: Exchange) -> None:
        method = exchange.request.method
        self.counts[method] = self.counts.get(method, 0) + 1
