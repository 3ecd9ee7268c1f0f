"""The access log of the express lane: one `StreamInfo` for many exchanges, whose heads differ in a few holes alone.

It says what the general path would have gathered; a property test holds the lines of both to be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxy.access_log.log import Log, PlannedLog
from proxy.access_log.rendering import index
from proxy.http.express_request import Arrival, RequestPlan
from proxy.http.express_response import SERVICE_TIME, ResponsePlan, WrittenPlan
from proxy.http.h2_stream import Meter
from proxy.http.handover import Handover
from proxy.http.identity import Hop
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo
from proxy.net.connection import Connection
from proxy.upstream.http2_express import ExpressStream

if TYPE_CHECKING:
    from proxy.filters.network.hcm_plans import Destination

_MAX_LOGS = 256
"""What a connection manager keeps of those, at 10 KiB each at most."""


class ExpressLogs:
    """The access logs of one connection manager, as its lanes use them."""

    __slots__ = ("_known", "_logs")

    def __init__(self, logs: Sequence[Log]) -> None:
        self._logs = logs
        self._known: dict[tuple[Destination, ResponsePlan], _HeadsLog] = {}

    def __bool__(self) -> bool:
        return bool(self._logs)

    def forget(self) -> None:
        """Destinations have changed."""
        self._known.clear()

    def of(self, plan: RequestPlan, destination: Destination, answer: ResponsePlan, progress: Handover) -> _HeadsLog:
        """What logs exchanges with these heads, of which `progress` is one."""
        known = self._known.get((destination, answer))
        if known is None:
            if len(self._known) >= _MAX_LOGS:
                self._known.clear()
            known = self._known[destination, answer] = _HeadsLog(self._logs, plan, destination, answer, progress)
        return known


class _HeadsLog:
    """Exchanges with the same heads. The first is rendered like any other: only what comes again is worth a plan."""

    __slots__ = (
        "_again",
        "_got",
        "_info",
        "_logs",
        "_multiplexed",
        "_plan",
        "_planned",
        "_repeats",
        "_request_line",
        "_sent",
        "_status_line",
        "_time_at",
        "_upstreamed",
        "_varying",
    )

    def __init__(
        self,
        logs: Sequence[Log],
        plan: RequestPlan,
        destination: Destination,
        answer: ResponsePlan,
        progress: Handover,
    ) -> None:
        self._logs = logs
        self._plan = plan
        self._planned: list[PlannedLog] | None = None
        self._multiplexed = destination.multiplexed
        self._upstreamed = destination.head
        self._again = False
        info = self._info = StreamInfo(0.0)
        request = info.request = Request()
        template = plan.request
        request.method, request.scheme, request.authority = template.method, template.scheme, destination.head.authority
        request.protocol = template.protocol
        request.headers = destination.head.fields(progress.values)
        response = info.response_headers = answer.headers.copy()
        self._varying = destination.head.varying
        self._repeats = len({name for name, _ in request.headers}) < len(request.headers)
        names = [name for name, _ in response]
        self._time_at = names.index(SERVICE_TIME) if answer.timed else -1
        self._sent, self._got = index(request.headers), index(response)
        # With its end, and that of the head.
        self._status_line = answer.before.index(b"\r\n") + 4 if isinstance(answer, WrittenPlan) else 0
        self._request_line = len(request.method) + len(b"  HTTP/1.1\r\n\r\n")  # the same, less the path
        if answer.head_size:
            info.response_heads = (progress.received[: answer.head_size],)
        info.stream_id = 1
        info.status, info.detail = answer.status, "via_upstream"
        info.bytes_received, info.bytes_sent = plan.content_length, answer.content_length
        info.request_complete = info.response_complete = True
        info.entry = destination.entry
        info.route_name = destination.entry.route.name
        info.upstream_cluster = destination.cluster.config.name
        info.upstream_attempts = 1
        info.internal = plan.internal

    def log(
        self, arrival: Arrival, progress: Handover, connection: Connection, hop: Hop, now: float, head_size: int
    ) -> None:
        """Log an exchange that is over `now`; the response's head was `head_size` bytes long."""
        info = self._info
        info.request_head = arrival.data
        info.received_before = connection.bytes_received - len(arrival.data)
        info.sent_before = connection.bytes_sent - head_size - info.bytes_sent
        info.header_bytes_sent = head_size - self._status_line
        self._log(progress, connection, hop, now)

    def log_stream(
        self, stream_id: int, meter: Meter, size: int, progress: Handover, connection: Connection, hop: Hop, now: float
    ) -> None:
        """The same for a stream of HTTP/2, whose request has a body of `size` bytes."""
        self._info.stream_id, self._info.meter, self._info.bytes_received = stream_id, meter, size
        self._log(progress, connection, hop, now)

    def _log(self, progress: Handover, connection: Connection, hop: Hop, now: float) -> None:
        info, sent_at = self._info, progress.sent_at
        info.begin(progress.started, now)
        info.connection = connection
        info.downstream_remote = self._plan.caller(hop)
        request = info.request
        assert request is not None
        assert info.response_headers is not None
        request.path = progress.path
        self._upstreamed.fill(request.headers, progress.values)
        if self._repeats:
            self._sent = index(request.headers)
        else:
            for at in self._varying:
                name, value = request.headers.items[at]
                self._sent[name] = value
        if self._time_at >= 0:
            service_time = self._got[SERVICE_TIME] = b"%d" % int((now - sent_at) * 1000)
            info.response_headers.items[self._time_at] = (SERVICE_TIME, service_time)
        info.request_received = info.request_begun = info.request_sent = sent_at
        info.response_begun = info.response_received = info.ended = now
        info.upstream_host = info.upstream_tried = progress.pool.host.address
        info.upstream_remote = progress.upstream.identity.remote or info.upstream_host
        info.upstream_local = progress.upstream.local
        if self._multiplexed:
            upstream: ExpressStream = progress.upstream
            meter = upstream.meter
            info.bytes_sent, info.response_trailers = upstream.size, upstream.trailers
            info.upstream_bytes_sent, info.upstream_header_bytes_sent = meter.sent, meter.header_sent
            info.upstream_bytes_received, info.upstream_header_bytes_received = meter.received, meter.header_received
        else:
            info.upstream_bytes_sent, info.upstream_bytes_received = progress.sent, len(progress.received)
            head_sent = progress.sent - info.bytes_received - len(progress.path)
            info.upstream_header_bytes_sent = head_sent - self._request_line
        info.upstream_hostname = progress.pool.host.hostname
        info.upstream_connection = progress.upstream.identity
        info.attempt_begun = info.pool_ready = sent_at
        info.response_body_begun = now if info.bytes_sent else 0.0
        info.response_out = now
        self._write(info)
        info.connection = None  # which may end, while this is kept

    def _write(self, info: StreamInfo) -> None:
        if self._planned is None and self._again:
            self._planned = [log.planned(info) for log in self._logs]
        if self._planned is not None:
            for log_planned in self._planned:
                log_planned(info, self._sent, self._got)
            return
        self._again = True
        for log in self._logs:
            log.log(info)
