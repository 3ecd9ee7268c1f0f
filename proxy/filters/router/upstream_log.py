"""The access log of single attempts: `Router.upstream_log`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import trio

from proxy.access_log.log import Log, log_meanwhile
from proxy.access_log.periodic import Periodic, Ticking
from proxy.config.access_log import AccessLog
from proxy.errors import Flag, ProxyError
from proxy.http.events import ResponseReceived
from proxy.http.exchange import Exchange
from proxy.http.stream_info import StreamInfo
from proxy.upstream.judge import Retried


class UpstreamLogConfig(msgspec.Struct, frozen=True):
    """`upstream_log` and `upstream_log_options`. `log_ready`: an entry of an attempt that has its connection;
    `interval`: seconds between entries while it lasts, 0 for none.
    """

    logs: tuple[AccessLog, ...] = ()
    log_ready: bool = False
    interval: float = 0.0


class UpstreamLogs:
    """Those of one router."""

    def __init__(self, config: UpstreamLogConfig, logs: Sequence[Log], periodic: Periodic) -> None:
        self._config = config
        self._logs = logs
        self._periodic = periodic

    def begin(self, exchange: Exchange, now: float) -> AttemptLog:
        """An attempt begins."""
        return AttemptLog(self._config, self._logs, self._periodic, exchange, now)


class AttemptLog:
    """The entries of one attempt: its own `StreamInfo`, with what it shares with its exchange's brought up to date."""

    __slots__ = ("_config", "_exchange", "_info", "_logs", "_periodic", "_response", "_ticking")

    def __init__(
        self, config: UpstreamLogConfig, logs: Sequence[Log], periodic: Periodic, exchange: Exchange, now: float
    ) -> None:
        self._config = config
        self._logs = logs
        self._periodic = periodic
        self._exchange = exchange
        self._response: ResponseReceived | None = None
        self._ticking: Ticking | None = None
        whole = exchange.info
        info = self._info = StreamInfo(now, whole.connection)
        info.begin(now, trio.current_time())
        info.downstream_remote, info.internal = whole.downstream_remote, whole.internal
        info.route_name, info.upstream_cluster = whole.route_name, whole.upstream_cluster
        info.stream_id = whole.stream_id
        # No protocol and no bytes until there is a connection, as in Envoy.
        info.request = exchange.request.copy()
        info.request.protocol = ""
        if whole.connection is not None:
            info.received_before, info.sent_before = whole.connection.bytes_received, whole.connection.bytes_sent
        if config.interval:
            self._ticking = periodic.every(config.interval, self._tick)

    def ready(self) -> None:
        """It has a connection."""
        info, whole = self._info, self._exchange.info
        info.request = self._exchange.request
        info.received_before, info.sent_before = whole.received_before, whole.sent_before
        info.request_head = whole.request_head
        if self._config.log_ready:
            self._update()
            log_meanwhile(self._logs, info, b"UpstreamPoolReady")

    def answered(self, head: ResponseReceived) -> None:
        """The head of its response has come."""
        self._info.status = head.status
        self._info.response_headers = head.headers.copy()
        self._info.response_begun = trio.current_time()

    def end(self, error: BaseException | None) -> None:
        """It is over, with or without an error."""
        if self._ticking is not None:
            self._ticking.stop()
        if isinstance(error, Retried):
            self.answered(error.response)
        if isinstance(error, ProxyError):
            if error.flag is Flag.NO_HEALTHY_UPSTREAM:  # there was nobody to ask
                return
            if error.flag is not None and error.side != "downstream":
                self._info.flags.add(error.flag)
        self._update()
        log_meanwhile(self._logs, self._info, b"UpstreamEnd")

    def _tick(self) -> None:
        self._update()
        log_meanwhile(self._logs, self._info, b"UpstreamPeriodic")

    def _update(self) -> None:
        info, whole = self._info, self._exchange.info
        info.upstream_host, info.upstream_hostname = (
            whole.upstream_host or whole.upstream_tried,
            whole.upstream_hostname,
        )
        info.upstream_remote, info.upstream_local = whole.upstream_remote, whole.upstream_local
        info.upstream_connection, info.upstream_failure = whole.upstream_connection, whole.upstream_failure
        info.attempt_begun, info.pool_ready = whole.attempt_begun, whole.pool_ready
        info.upstream_bytes_sent, info.upstream_bytes_received = (
            whole.upstream_bytes_sent,
            whole.upstream_bytes_received,
        )
        info.upstream_header_bytes_sent, info.response_heads = whole.upstream_header_bytes_sent, whole.response_heads
        info.upstream_header_bytes_received = whole.upstream_header_bytes_received
        info.transfer = whole.transfer
        info.request_begun, info.request_sent = whole.request_begun, whole.request_sent
        info.response_body_begun, info.response_received = whole.response_body_begun, whole.response_received
        if info.upstream_connection is not None:
            info.header_bytes_sent = whole.header_bytes_sent
            info.bytes_sent = whole.bytes_received  # of the request
            info.bytes_received = whole.bytes_sent if info.response_headers is not None else 0
