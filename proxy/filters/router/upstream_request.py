"""One request on one upstream stream: Envoy's `UpstreamRequest`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
import trio

from proxy.errors import ProxyError, describe, errno_name
from proxy.filters.router import attempt_deadlines, transfer, tunnels
from proxy.filters.router.attempt_deadlines import AttemptDeadlines, Limit
from proxy.filters.router.forwarding import Forwarding
from proxy.filters.router.handshake import Handshake
from proxy.filters.router.request_body import Source
from proxy.filters.router.upstream_log import AttemptLog
from proxy.http.deadlines import Phase
from proxy.http.events import ResponseReceived
from proxy.http.stream_info import Attempt, UpstreamConnection
from proxy.net.peer import cut_off
from proxy.upstream.judge import Followed, Judge
from proxy.upstream.pool import Pool
from proxy.upstream.stream import UpstreamStream

BEATEN = "another attempt was answered first"


class UpstreamRequest:
    """An attempt: `run` once. `judge` decides whether what comes of it is for the client.

    `on_sent` hears when the whole request went out, or it had its connection, if that was later; it then limits the
    attempt's time itself, but for that of its stream. `beaten`: another attempt was answered first, and this one has
    been cancelled.
    """

    __slots__ = (
        "_exchange",
        "_facts",
        "_forwarding",
        "_handshake",
        "_judge",
        "_limits",
        "_log",
        "_on_sent",
        "_sent",
        "_source",
        "_started",
        "_stream",
        "beaten",
    )

    def __init__(
        self,
        forwarding: Forwarding,
        source: Source,
        judge: Judge | None = None,
        on_sent: Callable[[float], None] | None = None,
    ) -> None:
        self._forwarding = forwarding
        self._exchange = forwarding.exchange
        self._source = source
        self._judge = judge
        self._limits = AttemptDeadlines() if forwarding.limits_attempts else None
        self._sent = False
        handover = forwarding.exchange.handover
        sent_before = handover is not None and handover.upstream is not None
        self._started = handover.sent_at if handover is not None and sent_before else trio.current_time()
        self._stream: UpstreamStream | None = None
        self._on_sent = on_sent
        self._facts: tuple[float, float, UpstreamConnection | None] = (self._started, 0.0, None)
        self.beaten = False
        self._handshake: Handshake | None = None
        self._log: AttemptLog | None = None

    async def run(self, pool: Pool | None = None) -> None:
        """Send the request, to `pool`'s host if that has been picked, and pass the response on. Raises `ProxyError`."""
        exchange, info = self._exchange, self._exchange.info
        if self._source.ended:
            self._request_sent(self._started)
        failure: BaseException | None = None
        info.begin_attempt(self._started)
        if self._forwarding.logs is not None:
            self._log = self._forwarding.logs.begin(exchange, self._started)
        try:
            self._stream = stream = await self._open(pool)
            self._facts = info.attempt_begun, info.pool_ready, info.upstream_connection
            self.tell()
            for observed in info.observed:
                observed.rq_total.inc()
            info.upstream_failure = ""
            stream.follow = self._forwarding.follow
            if self._log is not None:
                self._log.ready()
            if self._forwarding.entry.auto_host:
                self._forwarding.entry.name_host(exchange.request, stream.host.hostname)
            if self._sent:
                self._start_per_try(stream.gone_out_at or trio.current_time())
            if self._limits is None:
                await self._send(stream)
            else:
                await self._send_in_time(stream, self._limits)
        except BaseException as error:
            failure = error
            if self.beaten:
                self._record(error)
                raise
            if self._stream is None:
                info.upstream_host = info.upstream_tried
                info.upstream_failure = error.transport_failure if isinstance(error, ProxyError) else ""
            if exchange.deadlines.fired() is Phase.ROUTE:
                self._forwarding.cluster.charge_timeout(self._stream, info, exchange.deadlines.timeout_status)
            self._record(error)
            raise
        finally:
            if self._log is not None:
                self._log.end(failure)
            if self._stream is not None:
                info.end_transfer(self._stream)
                self._stream.close()

    def tell(self) -> None:
        """Tell the exchange of this attempt's connection: it has just got one, or it is the one that counts."""
        info, stream = self._exchange.info, self._stream
        assert stream is not None
        info.transfer = stream
        info.upstream_host = info.upstream_tried = stream.host.address
        info.upstream_remote = stream.identity.remote or stream.host.address
        info.upstream_hostname, info.upstream_local = stream.host.hostname, stream.local
        info.attempt_begun, info.pool_ready, info.upstream_connection = self._facts

    def tell_timeout(self) -> None:
        """Another attempt may begin beside this one, as it takes too long."""
        if self._stream is not None:
            self._stream.tell_timeout(self._exchange.deadlines.timeout_status)

    async def _open(self, pool: Pool | None) -> UpstreamStream:
        """A stream, or the one on which the express lane has sent the request already."""
        handover, info, cluster = self._exchange.handover, self._exchange.info, self._forwarding.cluster
        forwarding = self._forwarding
        if handover is None or handover.upstream is None:
            if handover is not None:
                pool = handover.pool
            if info.override_host is not None and info.upstream_attempts == 1:
                pool = cluster.pick_wanted(info.override_host, forwarding.context, info)
            return await cluster.open_stream(
                info,
                pool,
                self._judge,
                context=forwarding.context,
            )
        host = handover.pool.host
        info.upstream_tried, info.upstream_hostname = host.address, host.hostname
        info.upstream_connection, info.pool_ready = handover.upstream.identity, handover.sent_at
        pool, outcomes = handover.pool, cluster.outcomes_of(info)
        stream: UpstreamStream = pool.go_on(handover.upstream, outcomes, sent_at=handover.sent_at, judge=self._judge)
        return stream

    def _request_sent(self, now: float) -> None:
        """The whole request has been received (and sent, or is about to be): the route's timeout begins."""
        self._sent = True
        self._forwarding.request_complete(now)

    def _record(self, error: BaseException) -> None:
        """Put this attempt on record. `error` is whatever ended it: a `ProxyError`, or the exchange's cancellation."""
        info = self._exchange.info
        if info.upstream_tried is None or isinstance(error, Followed):
            return
        reason = error if isinstance(error, ProxyError) else self._exchange.failure()
        if reason is None and isinstance(error, trio.Cancelled | BaseExceptionGroup):  # a group of it from two tasks
            reason = cut_off()
        text = BEATEN if self.beaten else describe(reason or error)
        phase: Literal["connect", "request", "response"] = "response" if self._sent else "request"
        info.attempts += (
            Attempt(
                host=str(self._stream.host.address if self._stream is not None else info.upstream_tried),
                phase=phase if self._stream is not None else "connect",
                error=text,
                seconds=trio.current_time() - self._started,
                errno=errno_name(reason or error),
            ),
        )

    async def _send_in_time(self, stream: UpstreamStream, limits: AttemptDeadlines) -> None:
        """`_send` within the limits of an attempt, which run once it has its connection."""
        limits.start(Limit.STREAM_DURATION, self._forwarding.stream_duration, stream.gone_out_at or trio.current_time())
        with limits.scope as scope:
            await self._send(stream)
        if scope.cancelled_caught:
            raise self._late(stream, limits.fired())

    def _start_per_try(self, since: float) -> None:
        if self._on_sent is not None:
            self._on_sent(since)
        elif self._limits is not None:
            terms = self._forwarding.terms
            self._limits.start(Limit.PER_TRY, terms.per_try_timeout, since)
            self._limits.start(Limit.PER_TRY_IDLE, terms.per_try_idle_timeout, since)

    def _late(self, stream: UpstreamStream, limit: Limit) -> ProxyError:
        """The error for an attempt that `limit` ended, counted."""
        exchange, stats = self._exchange, self._forwarding.cluster.stats
        error = attempt_deadlines.failure(
            limit,
            request_complete=exchange.info.request_complete,
            timeout_status=exchange.deadlines.timeout_status,
        )
        counter = {
            Limit.PER_TRY: stats.rq_per_try_timeout,
            Limit.PER_TRY_IDLE: stats.rq_per_try_idle_timeout,
            Limit.STREAM_DURATION: stats.rq_max_duration_reached,
        }[limit]
        counter.inc()
        retried = (
            self._judge is not None and not stream.response_started and self._judge.reset(error, request_started=True)
        )
        if limit is not Limit.STREAM_DURATION:
            stream.tell_timeout(error.status)
            stream.charge_timeout(error.status, retried=retried)
        elif retried:
            stream.charge_retried()
        return error

    async def _send(self, stream: UpstreamStream) -> None:
        request, source, info = self._exchange.request, self._source, self._exchange.info
        ended = source.ended
        info.request_begun = stream.gone_out_at or trio.current_time()
        flush = ended or not source.pending
        headers = request.headers
        if info.upgrade:
            self._handshake = Handshake(
                info.upgrade,
                client_has_keys=not self._exchange.multiplexed,
                upstream_has_keys=stream.has_websocket_keys,
            )
            headers = self._handshake.ask(headers)
        head = request.method, request.path, request.authority, headers
        scheme = b""
        if stream.tells_scheme:
            scheme = self._exchange.scheme_towards(secure=stream.identity.tls is not None)
        if self._forwarding.context.tcp and (greeting := self._forwarding.greeting()):
            await stream.send_data(greeting)
        await stream.send_request(*head, end_stream=ended, flush=flush, scheme=scheme)
        if ended:
            if not info.upgrade:  # which has no end
                info.request_sent = stream.request_ended_at
            await self._download(stream)
        elif source.is_small:
            await self._upload(stream)
            await self._download(stream)
        else:
            await source.send_continue()  # here, because only this task writes to the client
            await transfer.both_ways(lambda: self._upload(stream), lambda: self._download(stream))

    async def _upload(self, stream: UpstreamStream) -> None:
        await transfer.upload(self._exchange, self._source, stream, self._forwarding.pipes)
        now = self._exchange.info.request_sent = stream.request_ended_at
        if not self._sent:
            self._request_sent(now)
            self._start_per_try(now)

    async def _download(self, stream: UpstreamStream) -> None:
        exchange, limits = self._exchange, self._limits
        head = await transfer.receive_head(exchange, stream)
        if self._log is not None:
            self._log.answered(head)
        if limits is not None:
            limits.answered()
            limits.heard()
        tunnel = exchange.opens_tunnel(head.status)
        if tunnel and not self._may_leave(head):
            raise stream.broken()
        if self._handshake is not None and not tunnel and self._handshake.misleads(head.status):
            await self._refuse_handshake(head)
            stream.forgo_reuse()  # it may have left HTTP all the same
            return
        await self._send_head(head, flush=tunnel or not stream.pending)
        if tunnel:
            await tunnels.over_stream(exchange, stream, self._forwarding.pipes, limits)
        elif not head.end_stream:
            heard = limits.heard if limits is not None else None
            await transfer.download(exchange, stream, self._forwarding.pipes, heard)
        if exchange.info.upgrade:
            stream.forgo_reuse()  # whoever was asked to leave HTTP may not be in it any more
        exchange.info.response_received = trio.current_time()

    def _may_leave(self, head: ResponseReceived) -> bool:
        """Whether the upstream may change the protocol: it was asked, has the whole request, and agrees."""
        return self._sent and self._handshake is not None and self._handshake.accept(head.status, head.headers)

    async def _refuse_handshake(self, head: ResponseReceived) -> None:
        """Pass on none of its body."""
        head.headers.remove(b"content-length")
        await self._send_head(msgspec.structs.replace(head, end_stream=True), flush=True)
        self._exchange.info.detail = "websocket_handshake_unsuccessful"

    async def _send_head(self, head: ResponseReceived, *, flush: bool) -> None:
        exchange, forwarding = self._exchange, self._forwarding
        exchange.deadlines.disarm(Phase.REQUEST)
        exchange.info.detail = "via_upstream"
        now = exchange.info.response_begun = trio.current_time()
        leaving = exchange.info.upgrade != ""
        if forwarding.service_time and not leaving and forwarding.complete_at is not None:
            elapsed = now - forwarding.complete_at
            head.headers.set(b"x-envoy-upstream-service-time", b"%d" % int(elapsed * 1000))
        for cookie in forwarding.cookies:
            head.headers.add(b"set-cookie", cookie)
        entry = forwarding.entry
        if entry.finish_response is not None:
            # Its edits may tell them.
            exchange.info.status, exchange.info.response_headers = head.status, head.headers
            entry.finish_response(head.headers, exchange.info)
        await exchange.send_headers(head.status, head.headers, end_stream=head.end_stream, flush=flush)
