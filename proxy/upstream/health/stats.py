"""What health checks count: `cluster.<name>.health_check.*`. How many hosts are healthy is the reader's to find out
(`master/admin/gauges.py`).
"""

from __future__ import annotations

from proxy.stats import Stats
from proxy.upstream.health.verdicts import Failure, Result


class HealthCheckStats:
    """Of one cluster."""

    def __init__(self, stats: Stats, stat_name: str) -> None:
        prefix = f"cluster.{stat_name}.health_check."
        self.attempt = stats.counter(f"{prefix}attempt")
        self._success = stats.counter(f"{prefix}success")
        self._failure = stats.counter(f"{prefix}failure")
        self._network_failure = stats.counter(f"{prefix}network_failure")
        self._passive_failure = stats.counter(f"{prefix}passive_failure")
        self.verify_cluster = stats.counter(f"{prefix}verify_cluster")

    def charge(self, result: Result) -> None:
        """A check has ended, or a response has said what it would have."""
        failure = result.failure
        if failure is None:
            self._success.inc()
            return
        self._failure.inc()
        if failure.network:
            self._network_failure.inc()
        elif failure is Failure.PASSIVE:
            self._passive_failure.inc()


class _Nothing:
    def inc(self, amount: int = 1) -> None: ...
    def add(self, amount: int) -> None: ...
    def set(self, value: int) -> None: ...
    def record(self, value: int) -> None: ...


class Silent:
    """Implements `Stats` for connections that count nowhere: those of health checks are no traffic of the cluster."""

    _nothing = _Nothing()

    def counter(self, name: str) -> _Nothing:
        return self._nothing

    def gauge(self, name: str) -> _Nothing:
        return self._nothing

    def histogram(self, name: str) -> _Nothing:
        return self._nothing
