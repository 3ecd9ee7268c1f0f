"""Stat handles of one cluster, `cluster.<name>.*`, found once when the cluster is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.stats import Counter, Histogram, Stats

if TYPE_CHECKING:
    from proxy.upstream.connect import ConnectFailed


class Outcomes:
    """Codes and times of responses of one kind: `cluster.<name>.external.*`, `.internal.*` (who asked), `.canary.*`.

    What a reader can sum up over these (`upstream_rq_200`, `_2xx`, `_completed`) is not written. Codes are cached as
    they appear: Envoy shows `upstream_rq_<code>` only after its first use. `hides_codes`: some of them are not told.
    """

    hides_codes: bool = False

    __slots__ = ("_codes", "_prefix", "_stats", "time")

    def __init__(self, stats: Stats, prefix: str) -> None:
        self._stats = stats
        self._prefix = prefix
        self._codes: dict[int, Counter] = {}
        self.time: Histogram = stats.histogram(f"{prefix}upstream_rq_time")

    def charge(self, status: int) -> None:
        """One response, from the upstream or in its place."""
        counter = self._codes.get(status)
        if counter is None:
            counter = self._codes[status] = self._stats.counter(f"{self._prefix}upstream_rq_{status}")
        counter.inc()


class ClusterStats:
    """Envoy's names without the prefix."""

    def __init__(self, stats: Stats, stat_name: str) -> None:
        prefix = f"cluster.{stat_name}."
        counter = stats.counter
        self._stats = stats
        self._prefix = prefix
        self._external = Outcomes(stats, f"{prefix}external.")
        self._internal: Outcomes | None = None
        self._canary: Outcomes | None = None
        self._retried: Outcomes | None = None
        self._hidden_retried: Outcomes | None = None

        # Without health checks only a cluster without hosts is in panic; Envoy counts its picks.
        self.lb_healthy_panic = counter(f"{prefix}lb_healthy_panic")

        self.cx_total = counter(f"{prefix}upstream_cx_total")
        self.cx_http1_total = counter(f"{prefix}upstream_cx_http1_total")
        self.cx_http2_total = counter(f"{prefix}upstream_cx_http2_total")
        self.cx_active = stats.gauge(f"{prefix}upstream_cx_active")
        self.cx_connect_fail = counter(f"{prefix}upstream_cx_connect_fail")
        self.bind_errors = counter(f"{prefix}bind_errors")
        self.cx_connect_attempts_exceeded = counter(f"{prefix}upstream_cx_connect_attempts_exceeded")
        self.cx_connect_timeout = counter(f"{prefix}upstream_cx_connect_timeout")
        self.cx_connect_ms = stats.histogram(f"{prefix}upstream_cx_connect_ms")
        self.cx_length_ms = stats.histogram(f"{prefix}upstream_cx_length_ms")
        self.cx_close_notify = counter(f"{prefix}upstream_cx_close_notify")
        self.cx_destroy = counter(f"{prefix}upstream_cx_destroy")
        self.cx_destroy_local = counter(f"{prefix}upstream_cx_destroy_local")
        self.cx_destroy_remote = counter(f"{prefix}upstream_cx_destroy_remote")
        self.cx_destroy_with_active_rq = counter(f"{prefix}upstream_cx_destroy_with_active_rq")
        self.cx_destroy_local_with_active_rq = counter(f"{prefix}upstream_cx_destroy_local_with_active_rq")
        self.cx_destroy_remote_with_active_rq = counter(f"{prefix}upstream_cx_destroy_remote_with_active_rq")
        self.cx_idle_timeout = counter(f"{prefix}upstream_cx_idle_timeout")
        self.cx_max_requests = counter(f"{prefix}upstream_cx_max_requests")
        self.cx_none_healthy = counter(f"{prefix}upstream_cx_none_healthy")
        self.cx_pool_overflow = counter(f"{prefix}upstream_cx_pool_overflow")
        self.cx_overflow = counter(f"{prefix}upstream_cx_overflow")
        self.cx_protocol_error = counter(f"{prefix}upstream_cx_protocol_error")
        self.cx_rx_bytes_total = counter(f"{prefix}upstream_cx_rx_bytes_total")
        self.cx_tx_bytes_total = counter(f"{prefix}upstream_cx_tx_bytes_total")

        self.rq_total = counter(f"{prefix}upstream_rq_total")
        self.rq_active = stats.gauge(f"{prefix}upstream_rq_active")
        self.rq_active_overflow = counter(f"{prefix}upstream_rq_active_overflow")
        self.rq_pending_total = counter(f"{prefix}upstream_rq_pending_total")
        self.rq_pending_active = stats.gauge(f"{prefix}upstream_rq_pending_active")
        self.rq_pending_overflow = counter(f"{prefix}upstream_rq_pending_overflow")
        self.rq_pending_failure_eject = counter(f"{prefix}upstream_rq_pending_failure_eject")
        self.rq_cancelled = counter(f"{prefix}upstream_rq_cancelled")
        self.rq_timeout = counter(f"{prefix}upstream_rq_timeout")
        self.rq_per_try_timeout = counter(f"{prefix}upstream_rq_per_try_timeout")
        self.rq_per_try_idle_timeout = counter(f"{prefix}upstream_rq_per_try_idle_timeout")
        self.rq_max_duration_reached = counter(f"{prefix}upstream_rq_max_duration_reached")
        self.rq_retry = counter(f"{prefix}upstream_rq_retry")
        self.rq_retry_success = counter(f"{prefix}upstream_rq_retry_success")
        self.rq_retry_limit_exceeded = counter(f"{prefix}upstream_rq_retry_limit_exceeded")
        self.rq_retry_overflow = counter(f"{prefix}upstream_rq_retry_overflow")
        self.rq_retry_backoff_exponential = counter(f"{prefix}upstream_rq_retry_backoff_exponential")
        self.rq_retry_backoff_ratelimited = counter(f"{prefix}upstream_rq_retry_backoff_ratelimited")
        self.retry_or_shadow_abandoned = counter(f"{prefix}retry_or_shadow_abandoned")
        self.internal_redirect_succeeded_total = counter(f"{prefix}upstream_internal_redirect_succeeded_total")
        self.internal_redirect_failed_total = counter(f"{prefix}upstream_internal_redirect_failed_total")
        self.cx_max_duration_reached = counter(f"{prefix}upstream_cx_max_duration_reached")
        # HTTP/1 has no reset frame: these two are 0 whatever an HTTP/1 upstream does.
        self.rq_rx_reset = counter(f"{prefix}upstream_rq_rx_reset")
        self.rq_tx_reset = counter(f"{prefix}upstream_rq_tx_reset")
        self.rq_per_cx = stats.histogram(f"{prefix}upstream_rq_per_cx")

    def outcomes(self, *, internal: bool) -> Outcomes:
        """What the responses to callers from inside, or from outside, count in."""
        if not internal:
            return self._external
        if self._internal is None:
            self._internal = Outcomes(self._stats, f"{self._prefix}internal.")
        return self._internal

    def canary(self) -> Outcomes:
        """What the responses of canaries count in once more."""
        if self._canary is None:
            self._canary = Outcomes(self._stats, f"{self._prefix}canary.")
        return self._canary

    def retried(self, *, hidden: bool = False) -> Outcomes:
        """What responses count in that were followed by another attempt, instead of all the others. `hidden`: only
        that they were (`proxy.upstream.observed.Hidden`).
        """
        if hidden:
            if self._hidden_retried is None:
                self._hidden_retried = Outcomes(self._stats, f"{self._prefix}hidden.retry.")
            return self._hidden_retried
        if self._retried is None:
            self._retried = Outcomes(self._stats, f"{self._prefix}retry.")
        return self._retried

    def charge_connect_failure(self, failed: ConnectFailed) -> None:
        """There is no connection."""
        self.cx_connect_fail.inc()
        if failed.timed_out:
            self.cx_connect_timeout.inc()
        if failed.bind:
            self.bind_errors.inc()

    def charge_destroy(self, *, remote: bool, with_active_rq: bool, length_ms: int) -> None:
        """One connection ended, after `length_ms`."""
        self.cx_destroy.inc()
        (self.cx_destroy_remote if remote else self.cx_destroy_local).inc()
        if with_active_rq:
            self.cx_destroy_with_active_rq.inc()
            (self.cx_destroy_remote_with_active_rq if remote else self.cx_destroy_local_with_active_rq).inc()
        self.cx_length_ms.record(length_ms)
