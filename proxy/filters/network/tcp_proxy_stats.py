"""Stat handles of one TCP proxy, `tcp.<stat_prefix>.*`, found once when configuration is applied."""

from __future__ import annotations

from proxy.stats import Stats

NEVER = (
    "downstream_cx_overload_close",
    "early_data_received_count_total",
    "route_delayed_total",
    "upstream_flush_total",
)
"""Counters of things that cannot happen here, shown as 0 beside the others as Envoy does. A connection whose client is
gone is never flushed on its own: the client's end is read only when the upstream took all bytes before it."""


class TcpStats:
    """Envoy's names."""

    def __init__(self, stats: Stats, stat_prefix: str) -> None:
        prefix = f"tcp.{stat_prefix}."
        counter, gauge = stats.counter, stats.gauge
        self.cx_total = counter(f"{prefix}downstream_cx_total")
        self.cx_no_route = counter(f"{prefix}downstream_cx_no_route")
        self.cx_drain_close = counter(f"{prefix}downstream_cx_drain_close")
        self.cx_rx_bytes_total = counter(f"{prefix}downstream_cx_rx_bytes_total")
        self.cx_tx_bytes_total = counter(f"{prefix}downstream_cx_tx_bytes_total")
        self.cx_tx_bytes_buffered = gauge(f"{prefix}downstream_cx_tx_bytes_buffered")
        self.paused_reading = counter(f"{prefix}downstream_flow_control_paused_reading_total")
        self.resumed_reading = counter(f"{prefix}downstream_flow_control_resumed_reading_total")
        self.idle_timeout = counter(f"{prefix}idle_timeout")
        self.max_duration = counter(f"{prefix}max_downstream_connection_duration")
        for name in NEVER:
            counter(prefix + name)
        gauge(f"{prefix}downstream_cx_rx_bytes_buffered")
        gauge(f"{prefix}upstream_flush_active")
