"""One request on one upstream stream: Envoy's `UpstreamRequest`."""

from __future__ import annotations

from typing import Literal

import trio

from proxy.errors import ProxyError, describe, errno_name
from proxy.filters.router import transfer
from proxy.http.deadlines import Phase
from proxy.http.events import ResponseReceived
from proxy.http.exchange import Exchange
from proxy.http.stream_info import Attempt
from proxy.upstream.cluster import Cluster
from proxy.upstream.stream import UpstreamStream


async def forward(exchange: Exchange, cluster: Cluster, timeout: float, *, service_time: bool) -> None:
    """One attempt. The route's `timeout` runs from the end of the request and covers the way to the upstream too."""
    attempt = UpstreamRequest(exchange, timeout, service_time=service_time)
    if exchange.handover is not None and exchange.handover.upstream is not None:
        attempt.started = exchange.handover.sent_at
    if exchange.body.ended:
        attempt.request_sent(attempt.started)
    info = exchange.info
    info.upstream_attempts += 1
    stream = None
    try:
        stream = await _open_stream(cluster, exchange)
        info.upstream_host = info.upstream_remote = stream.host.address
        info.upstream_local = stream.local
        await attempt.run(stream)
    except BaseException as error:
        if stream is None:
            info.upstream_host = info.upstream_tried
            info.upstream_failure = error.transport_failure if isinstance(error, ProxyError) else ""
        if exchange.deadlines.fired() is Phase.ROUTE:
            cluster.charge_timeout(stream, exchange.deadlines.timeout_status, internal=info.internal)
        attempt.failed(error, connected=stream is not None)
        raise
    finally:
        if stream is not None:
            info.upstream_bytes_sent += stream.bytes_sent
            info.upstream_bytes_received += stream.bytes_received
            stream.close()


async def _open_stream(cluster: Cluster, exchange: Exchange) -> UpstreamStream:
    """A stream, or the one on which the express lane has sent the request already."""
    handover, info = exchange.handover, exchange.info
    if handover is None:
        return await cluster.open_stream(info)
    if handover.upstream is None:
        return await cluster.open_stream(info, handover.pool)
    info.upstream_tried = handover.pool.host.address
    return UpstreamStream.going_on(handover.pool, handover.upstream, sent_at=handover.sent_at, internal=info.internal)


class UpstreamRequest:
    """`started` is when the attempt began; `service_time` says whether the client is told how long it took."""

    __slots__ = ("_exchange", "_sent_at", "_service_time", "_timeout", "started")

    def __init__(self, exchange: Exchange, timeout: float, *, service_time: bool) -> None:
        self._exchange = exchange
        self._timeout = timeout
        self._service_time = service_time
        self._sent_at: float | None = None
        self.started = trio.current_time()

    def request_sent(self, now: float) -> None:
        """The whole request has been received (and sent, or is about to be): the route's timeout begins."""
        self._sent_at = now
        self._exchange.deadlines.arm_from(Phase.ROUTE, now, self._timeout)

    def failed(self, error: BaseException, *, connected: bool) -> None:
        """Put this attempt on record. `error` is whatever ended it: a `ProxyError`, or the exchange's cancellation."""
        info = self._exchange.info
        if info.upstream_tried is None:
            return
        reason = error if isinstance(error, ProxyError) else self._exchange.failure()
        phase: Literal["connect", "request", "response"] = "response" if self._sent_at is not None else "request"
        info.attempts += (
            Attempt(
                host=str(info.upstream_tried),
                phase=phase if connected else "connect",
                error=describe(reason or error),
                seconds=trio.current_time() - self.started,
                errno=errno_name(reason or error),
            ),
        )

    async def run(self, stream: UpstreamStream) -> None:
        """Send the request and pass the response on. Raises `ProxyError`."""
        exchange = self._exchange
        request = exchange.request
        ended = exchange.body.ended
        exchange.info.request_begun = stream.gone_out_at or trio.current_time()
        await stream.send_request(request.method, request.path, request.authority, request.headers, end_stream=ended)
        if ended:
            exchange.info.request_sent = stream.request_ended_at
            await self._download(stream)
        elif exchange.body.is_small:
            await self._upload(stream)
            await self._download(stream)
        else:
            await exchange.body.send_continue()  # here, because only this task writes to the client
            await transfer.both_ways(lambda: self._upload(stream), lambda: self._download(stream))

    async def _upload(self, stream: UpstreamStream) -> None:
        await transfer.upload(self._exchange, stream)
        now = self._exchange.info.request_sent = stream.request_ended_at
        self.request_sent(now)

    async def _download(self, stream: UpstreamStream) -> None:
        exchange = self._exchange
        head = await transfer.receive_head(exchange, stream)
        await self._send_head(head, flush=not stream.pending)
        if not head.end_stream:
            await transfer.download(exchange, stream)
        exchange.info.response_received = trio.current_time()

    async def _send_head(self, head: ResponseReceived, *, flush: bool) -> None:
        exchange = self._exchange
        exchange.deadlines.disarm(Phase.REQUEST)
        exchange.info.detail = "via_upstream"
        now = exchange.info.response_begun = trio.current_time()
        if self._service_time and self._sent_at is not None:
            elapsed = now - self._sent_at
            head.headers.set(b"x-envoy-upstream-service-time", b"%d" % int(elapsed * 1000))
        await exchange.send_headers(head.status, head.headers, end_stream=head.end_stream, flush=flush)
