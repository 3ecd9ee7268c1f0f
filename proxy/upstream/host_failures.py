"""Which hosts have just failed, in health checks or as outliers (Envoy's `onHostHealthFailure`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proxy.config.cluster import Host
from proxy.upstream.host_status import Checked, HostStatus


class HostFailures:
    """Of one cluster, as one worker follows it."""

    def __init__(self, status: HostStatus) -> None:
        self._status = status
        self._failed: set[Host] = set()

    def update(self, hosts: Iterable[Host]) -> Iterator[Host]:
        """Those of `hosts`, all that there are, that had not failed at the last call."""
        before, self._failed = self._failed, {host for host in hosts if self._fails(host)}
        yield from self._failed - before

    def _fails(self, host: Host) -> bool:
        return bool(self._status.checked(host) & Checked.FAILED_ACTIVE_HC) or self._status.ejected(host)
