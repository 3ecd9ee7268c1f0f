"""Stat handles of the HTTP/2 codecs: `http2.*` downstream, `cluster.<name>.http2.*` upstream (Envoy's `CodecStats`)."""

from __future__ import annotations

from proxy.stats import Stats

_FLOODS = (
    "inbound_empty_frames_flood",
    "inbound_priority_frames_flood",
    "inbound_window_update_frames_flood",
    "outbound_control_flood",
    "outbound_flood",
    "inbound_control_frames_flood",  # ours
)


class Http2Stats:
    """`prefix` ends with a dot, or is empty."""

    def __init__(self, stats: Stats, prefix: str = "") -> None:
        def counter(name: str):  # type: ignore[no-untyped-def]
            return stats.counter(f"{prefix}http2.{name}")

        self.rx_reset = counter("rx_reset")
        self.tx_reset = counter("tx_reset")
        self.goaway_sent = counter("goaway_sent")
        self.header_overflow = counter("header_overflow")
        self.header_list_size_too_large = counter("header_list_size_too_large")
        self.keepalive_timeout = counter("keepalive_timeout")
        self.rx_messaging_error = counter("rx_messaging_error")
        self.stream_refused_errors = counter("stream_refused_errors")
        self.trailers = counter("trailers")
        self.tx_flush_timeout = counter("tx_flush_timeout")
        self.dropped_underscores = counter("dropped_headers_with_underscores")
        self.refused_underscores = counter("requests_rejected_with_underscores_in_headers")
        self.streams_active = stats.gauge(f"{prefix}http2.streams_active")
        self.pending_send_bytes = stats.gauge(f"{prefix}http2.pending_send_bytes")
        self._floods = {name: counter(name) for name in _FLOODS}

    def flood(self, name: str) -> None:
        """A budget was broken."""
        self._floods[name].inc()
