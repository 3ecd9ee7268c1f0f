"""Responses to requests say, too, how their host is: `x-envoy-immediate-health-check-fail` means no more of them."""

from __future__ import annotations

from proxy.config.cluster import Host
from proxy.config.health_check import HealthCheck
from proxy.upstream.health.events import EventLog
from proxy.upstream.health.stats import HealthCheckStats
from proxy.upstream.health.verdicts import Failure, Result, Verdicts
from proxy.upstream.host_status import Checked, HostStatus

_SAYS_SO = Result(Failure.PASSIVE, excludes=True)


class FastFailure:
    """Of one cluster with health checks: any worker may hear it, whoever checks the host. `log` is None until the
    cluster has its name. Does not know the cluster, which would wait for the collector.
    """

    def __init__(self, config: HealthCheck, status: HostStatus, stats: HealthCheckStats) -> None:
        self.log: EventLog | None = None
        self._config = config
        self._status = status
        self._stats = stats

    def __call__(self, host: Host) -> None:
        """A response of `host` has had the header."""
        if host.check is not None and host.check.disabled:
            return
        flags = self._status.checked(host)
        verdict = Verdicts(self._config, first=not flags & Checked.KNOWN).of(flags, _SAYS_SO)
        self._stats.charge(_SAYS_SO)
        self._status.set_checked(host, verdict.flags)
        if self.log is not None:
            self.log.write(host, verdict.events)
