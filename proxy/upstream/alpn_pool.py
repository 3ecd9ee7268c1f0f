"""Hosts that say by ALPN what they speak (`HttpProtocolOptions.auto_config`)."""

from __future__ import annotations

from proxy.upstream.http1_pool import Http1Pool
from proxy.upstream.http2_pool import Http2Pool, SpeaksHttp1
from proxy.upstream.judge import Judge
from proxy.upstream.pool import Common, Pool
from proxy.upstream.stats import Outcomes
from proxy.upstream.stream import UpstreamStream


class AlpnPool(Pool):
    """Two pools: that of HTTP/2 connects, and offers both; what agrees on HTTP/1.1 goes to the other one. A host that
    has chosen that is asked for nothing else until its last connection has ended. The streams are those of either pool.
    """

    def __init__(self, common: Common, http1: Http1Pool, http2: Http2Pool) -> None:
        super().__init__(common)
        self._http1 = http1
        self._http2 = http2
        self._chosen = False  # it speaks HTTP/1.1
        http2.otherwise = http1.adopt

    @property
    def empty(self) -> bool:
        return self._http1.empty and self._http2.empty

    @property
    def unused(self) -> bool:
        return self._http1.unused and self._http2.unused

    async def open(self, outcomes: Outcomes, judge: Judge | None = None) -> UpstreamStream:
        if self._chosen and not self._http1.empty:
            return await self._http1.open(outcomes, judge)
        self._chosen = False
        try:
            return await self._http2.open(outcomes, judge)
        except SpeaksHttp1:
            self._chosen = True
            return await self._http1.open(outcomes, judge)

    def reap(self, now: float) -> None:
        self._http1.reap(now)
        self._http2.reap(now)

    def drain(self) -> None:
        self._http1.drain()
        self._http2.drain()
