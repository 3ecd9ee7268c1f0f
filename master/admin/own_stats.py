"""Stats of the admin interface itself: `listener.admin.*` and `http.admin.*`, as Envoy has them (features §11.17)."""

from __future__ import annotations

from proxy.stats import Stats


class AdminStats:
    """Handles found once. Readers derive `downstream_rq_total` and `downstream_rq_completed`."""

    def __init__(self, stats: Stats) -> None:
        listener, http = "listener.admin.downstream_", "http.admin.downstream_"
        self._opened = [
            stats.counter(name) for name in (f"{listener}cx_total", f"{http}cx_total", f"{http}cx_http1_total")
        ]
        self._active = [
            stats.gauge(name) for name in (f"{listener}cx_active", f"{http}cx_active", f"{http}cx_http1_active")
        ]
        self._destroyed = [stats.counter(name) for name in (f"{listener}cx_destroy", f"{http}cx_destroy")]
        self._destroyed_by = {
            by_peer: stats.counter(f"{http}cx_destroy_{'remote' if by_peer else 'local'}") for by_peer in (False, True)
        }
        self._bytes_received = stats.counter(f"{http}cx_rx_bytes_total")
        self._bytes_sent = stats.counter(f"{http}cx_tx_bytes_total")
        self._idle_timeouts = stats.counter(f"{http}cx_idle_timeout")
        self._lengths = [stats.histogram(name) for name in (f"{listener}cx_length_ms", f"{http}cx_length_ms")]
        self._requests = stats.counter(f"{http}rq_http1_total")
        self._requests_active = stats.gauge(f"{http}rq_active")
        self._times = stats.histogram(f"{http}rq_time")
        self._protocol_errors = stats.counter(f"{http}cx_protocol_error")
        self._classes = [
            [stats.counter(f"{scope}rq_{first}xx") for scope in (http, "listener.admin.http.admin.downstream_")]
            for first in range(1, 6)
        ]

    def opened(self) -> None:
        """A connection was accepted."""
        for counter in self._opened:
            counter.inc()
        for gauge in self._active:
            gauge.add(1)

    def received(self, size: int) -> None:
        """Bytes came."""
        self._bytes_received.inc(size)

    def sent(self, size: int) -> None:
        """Bytes went."""
        self._bytes_sent.inc(size)

    def idled(self) -> None:
        """No further request came in time."""
        self._idle_timeouts.inc()

    def closed(self, seconds: float, *, by_peer: bool) -> None:
        """It ended after `seconds`; `by_peer`: the other side closed it first."""
        self._destroyed_by[by_peer].inc()
        for gauge in self._active:
            gauge.add(-1)
        for counter in self._destroyed:
            counter.inc()
        for histogram in self._lengths:
            histogram.record(round(seconds * 1000))

    def began(self) -> None:
        """A request is complete and will be answered."""
        self._requests.inc()
        self._requests_active.add(1)

    def ended(self, status: int, seconds: float) -> None:
        """The answer went out, or could not, after `seconds`."""
        self._requests_active.add(-1)
        self._times.record(round(seconds * 1000))
        for counter in self._classes[status // 100 - 1]:
            counter.inc()

    def broke(self) -> None:
        """The peer broke the protocol."""
        self._protocol_errors.inc()
