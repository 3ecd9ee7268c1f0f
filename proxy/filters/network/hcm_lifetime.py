"""How long a downstream connection may live, and how many requests it may carry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from proxy.filters.network.hcm_config import Config
from proxy.filters.network.hcm_stats import HcmStats
from proxy.http.exchange import Exchange
from proxy.http.handover import Handover
from proxy.http.response_edits import ResponseHead

NEVER = float("inf")


class Lifetime:
    """One connection's. Once its time is over it ends with its next response, or `drain_timeout` later if no request
    comes; at once if none ever came (`ConnectionManagerImpl::onConnectionDurationTimeout`). A safe one
    (`http1_safe_max_connection_duration`) waits for the next request and ends with the response to that.
    """

    __slots__ = ("_drain", "_limit", "_over", "_requests", "_safe", "_soft", "_stats", "_until")

    def __init__(self, config: Config, stats: HcmStats) -> None:
        duration = config.max_connection_duration
        self._until = trio.current_time() + duration if duration else NEVER
        self._safe = config.safe_max_connection_duration
        self._drain = NEVER if self._safe else config.drain_timeout
        self._limit = config.max_requests_per_connection
        self._stats = stats
        self._requests = 0
        self._over = False
        self._soft = False

    def begin(self, exchange: Exchange) -> None:
        """A request begins."""
        self._requests += 1
        if self._requests == self._limit:
            self._stats.cx_max_requests_reached.inc()
            exchange.close = True

        if self._safe:
            exchange.close = exchange.close or self._is_over()
            return

        def end_with_this(head: ResponseHead) -> None:
            exchange.close = exchange.close or self._is_over()

        exchange.on_response_headers(end_with_this)

    def end(self) -> None:
        """The connection has ended."""
        if self._soft:
            self._stats.cx_http1_soft_drain.add(-1)

    async def wait(self, arrival: Callable[[], Awaitable[Handover]]) -> Handover:
        """The next `arrival`, or none if the connection's time is over before."""
        if not self._is_over():
            with trio.move_on_at(self._until):
                return await arrival()
            self._is_over()
        if self._requests:
            with trio.move_on_at(self._until + self._drain):
                return await arrival()
        return Handover(b"", trio.current_time())

    def _is_over(self) -> bool:
        if not self._over and trio.current_time() >= self._until:
            self._over = True
            self._stats.cx_max_duration_reached.inc()
            if self._safe and self._requests:
                self._soft = True
                self._stats.cx_http1_soft_drain.add(1)
        return self._over
