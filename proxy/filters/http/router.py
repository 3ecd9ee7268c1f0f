"""`envoy.filters.http.router`: the last HTTP filter. Forwards the exchange to a host of the route's cluster."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import trio

from proxy.config.context import CompileContext
from proxy.config.route import DirectResponseAction
from proxy.errors import Flag, ProxyError, describe, errno_name
from proxy.filters.context import FilterContext
from proxy.filters.http.router_headers import settle
from proxy.http.body_relay import pass_around
from proxy.http.deadlines import Phase
from proxy.http.events import DataReceived, InformationalReceived, ResponseReceived
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import CallNext
from proxy.http.request import Request
from proxy.http.stream_info import Attempt
from proxy.net.pipe import PipePool
from proxy.upstream.cluster import Cluster
from proxy.upstream.stream import UpstreamStream

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.filters.http.router.v3.Router": ("suppress_envoy_headers",),
}


class Router:
    """Picks the cluster, streams the request up and the response down, both with back-pressure.

    The response may begin before the request is complete. It then ends the connection, and what is left of the request
    is not read (features §13 rule 20).
    """

    terminal = True

    class Config(msgspec.Struct, frozen=True):
        """`Router`. `suppress_envoy_headers`: no `x-envoy-*` header is added in either direction."""

        suppress_envoy_headers: bool = False

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `Router` message."""
        return cls.Config(suppress_envoy_headers=message.suppress_envoy_headers)

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self.envoy_headers = not config.suppress_envoy_headers
        self._clusters = context.clusters
        self._pipes = context.pipes
        counter = context.stats.counter
        self._rq_total = counter(f"{context.stat_prefix}rq_total")
        self._no_route = counter(f"{context.stat_prefix}no_route")
        self._no_cluster = counter(f"{context.stat_prefix}no_cluster")
        self._direct_response = counter(f"{context.stat_prefix}rq_direct_response")

    def charge(self) -> None:
        """A request has come."""
        self._rq_total.inc()

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        handover = exchange.handover
        if handover is None or handover.upstream is None:
            self.charge()
        if exchange.route is None:
            self._no_route.inc()
            raise ProxyError("route_not_found", side="downstream", status=404, flag=Flag.NO_ROUTE_FOUND)
        action = exchange.route.route.action
        if isinstance(action, DirectResponseAction):
            self._direct_response.inc()
            raise _direct_response(action, exchange.request)
        cluster = self._clusters.get(action.cluster)
        if cluster is None:
            self._no_cluster.inc()
            exchange.info.upstream_cluster = ""
            raise ProxyError("cluster_not_found", side="internal", status=503, flag=Flag.NO_CLUSTER_FOUND)
        timeout, no_content = settle(exchange.request.headers, action.timeout, tell=self.envoy_headers)
        if timeout != action.timeout:
            exchange.deadlines.asked_timeout = timeout
        exchange.deadlines.no_content_on_timeout = no_content
        await self._forward(exchange, cluster, timeout)

    async def _forward(self, exchange: Exchange, cluster: Cluster, timeout: float) -> None:
        """One attempt. The route's timeout runs from the end of the request and covers the way to the upstream too."""
        attempt = _Attempt(exchange, timeout, self._pipes, service_time=self.envoy_headers)
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


def _direct_response(action: DirectResponseAction, request: Request) -> ProxyError:
    """The reply that the route itself gives. 201 and 3xx say where: at the request's own URL (features §13 rule 9)."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if action.status == 201 or 300 <= action.status < 400:
        headers = ((b"location", b"%b://%b%b" % (request.scheme, request.authority, request.path)),)
    return ProxyError("direct_response", side="downstream", status=action.status, body=action.body, headers=headers)


class _Attempt:
    """One request on one upstream stream."""

    __slots__ = ("_exchange", "_pipes", "_sent_at", "_service_time", "_timeout", "started")

    def __init__(self, exchange: Exchange, timeout: float, pipes: PipePool, *, service_time: bool) -> None:
        self._exchange = exchange
        self._pipes = pipes
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
        flush = ended or not exchange.body.pending
        head = request.method, request.path, request.authority, request.headers
        await stream.send_request(*head, end_stream=ended, flush=flush)
        if ended:
            exchange.info.request_sent = stream.request_ended_at
            await self._download(stream)
        elif exchange.body.is_small:
            await self._upload(stream)
            await self._download(stream)
        else:
            await exchange.body.send_continue()  # here, because only this task writes to the client
            await self._both_ways(stream)

    async def _both_ways(self, stream: UpstreamStream) -> None:
        failures: list[ProxyError] = []

        async def upload() -> None:
            try:
                await self._upload(stream)
            except ProxyError as error:
                failures.append(error)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(upload)
            try:
                await self._download(stream)
            except ProxyError as error:
                failures.append(error)
            nursery.cancel_scope.cancel()
        if failures:
            raise failures[0]

    async def _upload(self, stream: UpstreamStream) -> None:
        exchange = self._exchange
        touch = exchange.deadlines.touch
        while data := await exchange.body.read():
            await stream.send_data(data, flush=not exchange.body.pending)
            touch()
            await pass_around(exchange.body, stream, self._pipes, touch)
        await stream.send_end()  # trailers stay behind, as in Envoy without `enable_trailers`
        now = exchange.info.request_sent = stream.request_ended_at
        self.request_sent(now)

    async def _download(self, stream: UpstreamStream) -> None:
        exchange = self._exchange
        if exchange.handover is not None and exchange.handover.received:
            stream.feed(exchange.handover.received)
        event = await stream.receive()
        while isinstance(event, InformationalReceived):
            event = await stream.receive()  # Envoy passes none on without proxy_100_continue
        if not isinstance(event, ResponseReceived):
            raise AssertionError(f"{event!r} before a response")
        exchange.deadlines.disarm(Phase.REQUEST)
        exchange.info.detail = "via_upstream"
        now = exchange.info.response_begun = trio.current_time()
        if self._service_time and self._sent_at is not None:
            elapsed = now - self._sent_at
            event.headers.set(b"x-envoy-upstream-service-time", b"%d" % int(elapsed * 1000))
        await exchange.send_headers(event.status, event.headers, end_stream=event.end_stream, flush=not stream.pending)
        ended = event.end_stream
        while not ended:
            await pass_around(stream, exchange, self._pipes, exchange.deadlines.touch)
            piece = await stream.receive()
            if isinstance(piece, DataReceived):
                await exchange.send_data(piece.data, flush=not stream.pending)
            else:
                await exchange.send_end()
                ended = True
        exchange.info.response_received = trio.current_time()
