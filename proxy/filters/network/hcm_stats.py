"""Stat handles of one HTTP connection manager on one listener, found once when configuration is applied.

Readers derive what follows from others: `downstream_rq_completed` (sum of the five classes) and `downstream_rq_total`
(`downstream_rq_http1_total`, later plus the other versions).
"""

from __future__ import annotations

from proxy.errors import Flag
from proxy.http.deadlines import Phase
from proxy.http.exchange import Exchange
from proxy.http.original_ip.custom_header import DETAIL as DETECTION_FAILED
from proxy.http.underscores import REJECTED
from proxy.stats import Counter, Stats

_CLIENT_LEFT = frozenset(
    {Flag.DOWNSTREAM_CONNECTION_TERMINATION, Flag.DOWNSTREAM_REMOTE_RESET, Flag.DOWNSTREAM_PROTOCOL_ERROR}
)
"""Why a response stays incomplete that we have not reset."""


class HcmStats:
    """`http.<stat_prefix>.*` and `listener.<address>.http.<stat_prefix>.*`, Envoy's names."""

    def __init__(self, stats: Stats, stat_prefix: str, listener_prefix: str) -> None:
        prefix = f"http.{stat_prefix}.downstream_"

        def counter(name: str) -> Counter:
            return stats.counter(prefix + name)

        self.cx_total = counter("cx_total")
        self.cx_http1_total = counter("cx_http1_total")
        self.cx_http2_total = counter("cx_http2_total")
        self.cx_ssl_total = counter("cx_ssl_total")
        self.cx_ssl_active = stats.gauge(f"{prefix}cx_ssl_active")
        self.cx_active = stats.gauge(f"{prefix}cx_active")
        self.cx_http1_active = stats.gauge(f"{prefix}cx_http1_active")
        self.cx_http2_active = stats.gauge(f"{prefix}cx_http2_active")
        self.cx_destroy = counter("cx_destroy")
        self.cx_destroy_local = counter("cx_destroy_local")
        self.cx_destroy_remote = counter("cx_destroy_remote")
        self.cx_destroy_active_rq = counter("cx_destroy_active_rq")
        self.cx_destroy_local_active_rq = counter("cx_destroy_local_active_rq")
        self.cx_destroy_remote_active_rq = counter("cx_destroy_remote_active_rq")
        self.cx_delayed_close_timeout = counter("cx_delayed_close_timeout")
        self.cx_max_duration_reached = counter("cx_max_duration_reached")
        self.cx_http1_soft_drain = stats.gauge(f"{prefix}cx_http1_soft_drain")
        self.cx_max_requests_reached = counter("cx_max_requests_reached")
        self.cx_drain_close = counter("cx_drain_close")
        self.cx_idle_timeout = counter("cx_idle_timeout")
        self.cx_upgrades_total = counter("cx_upgrades_total")
        self.cx_upgrades_active = stats.gauge(f"{prefix}cx_upgrades_active")
        self.cx_protocol_error = counter("cx_protocol_error")
        self.cx_rx_bytes_total = counter("cx_rx_bytes_total")
        self.cx_tx_bytes_total = counter("cx_tx_bytes_total")
        self.cx_length_ms = stats.histogram(f"{prefix}cx_length_ms")

        self.rq_http1_total = counter("rq_http1_total")
        self.rq_http2_total = counter("rq_http2_total")
        self.rq_too_many_premature_resets = counter("rq_too_many_premature_resets")
        self.rq_active = stats.gauge(f"{prefix}rq_active")
        self.rq_time = stats.histogram(f"{prefix}rq_time")
        self.rq_rx_reset = counter("rq_rx_reset")
        self.rq_tx_reset = counter("rq_tx_reset")
        self.rq_response_before_rq_complete = counter("rq_response_before_rq_complete")
        self.rq_non_relative_path = counter("rq_non_relative_path")
        self.rq_failed_path = counter("rq_failed_path_normalization")
        self.rq_redirected_path = counter("rq_redirected_with_normalized_path")
        self.rq_ws_on_non_ws_route = counter("rq_ws_on_non_ws_route")
        self.rq_header_timeout = counter("rq_header_timeout")
        self.dropped_underscores = stats.counter("http1.dropped_headers_with_underscores")
        # By response code detail.
        self._failures = {
            "stream_idle_timeout": counter("rq_idle_timeout"),
            "max_duration_timeout": counter("rq_max_duration_reached"),
            "request_header_timeout": self.rq_header_timeout,
            "request_overall_timeout": counter("rq_timeout"),
            "request_payload_too_large": counter("rq_too_large"),
            DETECTION_FAILED: counter("rq_rejected_via_ip_detection"),
            REJECTED: stats.counter("http1.requests_rejected_with_underscores_in_headers"),
        }
        listener = f"{listener_prefix}http.{stat_prefix}.downstream_"
        self._classes = tuple(
            (stats.counter(f"{prefix}rq_{n}xx"), stats.counter(f"{listener}rq_{n}xx")) for n in range(1, 6)
        )

    def charge_connection(self, *, tls: bool) -> None:
        """One connection begins."""
        if tls:
            self.cx_ssl_total.inc()
            self.cx_ssl_active.add(1)
        self.cx_total.inc()
        self.cx_active.add(1)

    def charge_protocol(self, protocol: str) -> None:
        """It speaks, for the first time."""
        (self.cx_http2_total if protocol == "http2" else self.cx_http1_total).inc()
        (self.cx_http2_active if protocol == "http2" else self.cx_http1_active).add(1)

    def charge_destroy(self, protocol: str, *, remote: bool, active_rq: bool, length_ms: int, tls: bool) -> None:
        """One connection is over, which spoke `protocol`, if any. `remote`: the client ended it first; `active_rq`:
        within an exchange.
        """
        if tls:
            self.cx_ssl_active.add(-1)
        self.cx_active.add(-1)
        if protocol:
            (self.cx_http2_active if protocol == "http2" else self.cx_http1_active).add(-1)
        self.cx_length_ms.record(length_ms)
        self.cx_destroy.inc()
        (self.cx_destroy_remote if remote else self.cx_destroy_local).inc()
        if active_rq:
            self.cx_destroy_active_rq.inc()
            (self.cx_destroy_remote_active_rq if remote else self.cx_destroy_local_active_rq).inc()

    def charge_exchange(self, exchange: Exchange, seconds: float, *, http2: bool = False) -> None:
        """One exchange is over, after `seconds`."""
        info = exchange.info
        self.rq_active.add(-1)
        self.rq_time.record(round(seconds * 1000))
        if info.continued:
            self._charge_class(1)
        complete = info.response_complete or exchange.deadlines.fired() is Phase.FLUSH
        if exchange.response_started:
            if not info.health_check:
                self._charge_class(info.status // 100)
            if not complete and _CLIENT_LEFT.isdisjoint(info.flags):
                self.rq_tx_reset.inc()
        if exchange.redirected is not None and not exchange.response_started:
            return  # it goes on
        if info.detail in self._failures:
            self._failures[info.detail].inc()
        if Flag.DOWNSTREAM_PROTOCOL_ERROR in info.flags and not http2:  # whose connections count it themselves
            self.cx_protocol_error.inc()
        request_complete = info.request_complete and (http2 or not info.upgrade)
        if exchange.answered_early:
            self.rq_response_before_rq_complete.inc()
        if request_complete and complete and (not info.upgrade or exchange.opens_tunnel(info.status)):
            return
        self.rq_rx_reset.inc()  # Envoy's codec resets every stream whose message is cut on either side

    def charge_plain(self, status: int, milliseconds: int) -> None:
        """One exchange is over of which there is nothing to tell but its status."""
        self.rq_active.add(-1)
        self.rq_time.record(milliseconds)
        self._charge_class(status // 100)

    def _charge_class(self, hundreds: int) -> None:
        if 1 <= hundreds <= 5:
            everywhere, on_listener = self._classes[hundreds - 1]
            everywhere.inc()
            on_listener.inc()
