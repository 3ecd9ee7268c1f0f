"""HTTP/1.1 pools that are ahead of their requests (`Cluster.PreconnectPolicy.per_upstream_preconnect_ratio`)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.http.codec import ClientCodec
from proxy.upstream.background import Background
from proxy.upstream.connect import ConnectFailed
from proxy.upstream.http1_connection import Http1Connection
from proxy.upstream.http1_pool import Http1Pool
from proxy.upstream.pool import Common

if TYPE_CHECKING:
    from proxy.upstream.announced import Manner

AT_ONCE = 3
"""Connections that one request begins at most (`ConnPoolImplBase::tryCreateNewConnections`)."""


class PreconnectingHttp1Pool(Http1Pool):
    """Whenever a request comes, connections are opened until there are `preconnect_ratio` times as many as requests
    that run or wait. A spare one goes to whoever waits longest, else it is idle.
    What `cluster` gives lives until each is open: it writes that cluster's rows.
    """

    def __init__(
        self,
        common: Common,
        tls: Manner | None,
        make_codec: Callable[[], ClientCodec],
        background: Background,
        cluster: Callable[[], object],
    ) -> None:
        super().__init__(common, tls, make_codec)
        self._background = background
        self._cluster = cluster
        self._spares = 0  # that are being opened

    def _take_idle(self, now: float) -> Http1Connection | None:
        connection = super()._take_idle(now)
        if connection is not None:
            self._open_spares(AT_ONCE)
        return connection

    async def _open(self) -> Http1Connection:
        self._open_spares(AT_ONCE - 1)  # besides its own
        return await super()._open()

    def _open_spares(self, at_most: int) -> None:
        core = self._core
        for _ in range(at_most):
            requests = core.opened - len(core.idle) - self._spares + core.waiting
            if requests * self._config.preconnect_ratio <= core.opened or self._draining or not core.may_open():
                return
            if not self._background.start(functools.partial(self._open_spare, self._cluster())):
                core.gone()  # the worker ends
                return
            self._spares += 1

    async def _open_spare(self, _: object) -> None:
        try:
            connection = await self._connect()
        except ConnectFailed:
            return
        finally:
            self._spares -= 1
        self._put(connection)
