"""How hosts are, as all workers see it: what health checks and outlier detection have said of each, in shared memory.

A word per host and kind of verdict, in the plane of the worker that wrote it: when (ms, monotonic), and 8 bits of
flags. Another worker may be the next to say something of the same host, so the newest word is the one that counts; it
outlives its writer. A count per cluster tells whoever looks that there is something new.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import Final

from proxy.config.cluster import Cluster, HealthStatus, Host
from proxy.upstream.host_set import Health, told_health
from proxy.upstream.tables import Cells, ClusterColumn, HostColumn, Table, Tables

_FLAG_BITS: Final = 8
_FLAGS: Final = (1 << _FLAG_BITS) - 1


class Checked(enum.IntFlag):
    """What the last health check of a host has found (Envoy's `HealthFlag`)."""

    FAILED_ACTIVE_HC = 1
    DEGRADED_ACTIVE_HC = 2
    PENDING_ACTIVE_HC = 4  # added while others served: it is in no ratio until it was checked
    ACTIVE_HC_TIMEOUT = 8
    EXCLUDED_VIA_IMMEDIATE_HC_FAIL = 16
    HAD_TRAFFIC = 64  # its cluster had, so whoever takes it over checks it as often, be it after a hot restart
    KNOWN = 128  # somebody has checked it: without this bit nothing was ever said


def milliseconds() -> int:
    """The time that all processes of a machine share."""
    return time.monotonic_ns() // 1_000_000


class HostVerdicts:
    """What `hosts` says of those of a cluster that has health checks (`checks`), outlier detection (`ejects`), or
    neither: `told`, then its hosts are what their endpoints say. `excludes`: a host that was never checked is in no
    ratio (`ignore_new_hosts_until_first_hc`).
    """

    __slots__ = ("_checks", "_ejects", "_found", "_unknown", "told")

    def __init__(self, hosts: Cells, *, checks: bool, ejects: bool, excludes: bool = False) -> None:
        self._found = hosts
        self._checks = checks
        self._ejects = ejects
        self._unknown = Checked.FAILED_ACTIVE_HC | (Checked.PENDING_ACTIVE_HC if excludes else Checked(0))
        self.told = not (checks or ejects)

    @staticmethod
    def of(config: Cluster, hosts: Cells) -> HostVerdicts:
        """Those of the cluster with `config`."""
        excludes = config.ignore_new_hosts_until_first_hc
        return HostVerdicts(
            hosts, checks=config.health_check is not None, ejects=config.outlier is not None, excludes=excludes
        )

    def health(self, host: Host) -> Health:
        """What `host` is good for (Envoy's `HostImplBase::coarseHealth`)."""
        told = told_health(host)
        if self.told or told in (Health.UNHEALTHY, Health.EXCLUDED):
            return told
        checked = self.checked(host)
        if checked & (Checked.PENDING_ACTIVE_HC | Checked.EXCLUDED_VIA_IMMEDIATE_HC_FAIL):
            return Health.EXCLUDED
        if checked & Checked.FAILED_ACTIVE_HC or self.ejected(host):
            return Health.UNHEALTHY
        return Health.DEGRADED if checked & Checked.DEGRADED_ACTIVE_HC else told

    def reported(self, host: Host) -> HealthStatus:
        """How `host` is in the words of its endpoint (Envoy's `HostImplBase::healthStatus`)."""
        checked = self.checked(host)
        if checked & Checked.FAILED_ACTIVE_HC or self.ejected(host):
            return "UNHEALTHY"
        degraded = checked & Checked.DEGRADED_ACTIVE_HC and host.health_status == "HEALTHY"
        return "DEGRADED" if degraded else host.health_status

    def checked(self, host: Host) -> Checked:
        """What health checks say. A host of which they have said nothing yet has failed, as in Envoy."""
        if not self._checks or (host.check is not None and host.check.disabled):
            return Checked.KNOWN
        found = Checked(self._found.highest(host.slot, HostColumn.CHECKED) & _FLAGS)
        return found if found & Checked.KNOWN else self._unknown

    def ejected(self, host: Host) -> bool:
        """Whether outlier detection keeps requests from it."""
        return self._ejects and bool(self._found.highest(host.slot, HostColumn.EJECTED) & _FLAGS)


class HostStatus(HostVerdicts):
    """Of the hosts of the cluster in row `slot`. `now` tells the time in ms, by default the machine's."""

    __slots__ = ("_clusters", "_hosts", "_seen", "_slot", "now")

    def __init__(
        self,
        tables: Tables,
        slot: int,
        *,
        checks: bool,
        ejects: bool,
        excludes: bool = False,
        now: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(tables.hosts, checks=checks, ejects=ejects, excludes=excludes)
        self._hosts: Table = tables.hosts
        self._clusters: Table = tables.clusters
        self._slot = slot
        self._seen = -1
        self.now = now or milliseconds

    def ejection(self, host: Host) -> tuple[bool, int]:
        """Whether it is ejected, and since when; if it is not, when its last ejection ended (ms, monotonic; 0: never
        was one).
        """
        word = self._hosts.highest(host.slot, HostColumn.EJECTED)
        return bool(word & _FLAGS), word >> _FLAG_BITS

    def passed_since(self, host: Host, since: int) -> bool:
        """Whether its last health check, after `since` (ms, monotonic), found nothing wrong."""
        if not self._checks:
            return False
        word = self._hosts.highest(host.slot, HostColumn.CHECKED)
        return word >> _FLAG_BITS > since and not word & Checked.FAILED_ACTIVE_HC

    def set_checked(self, host: Host, flags: Checked) -> None:
        """A health check of ours has found this."""
        self._write(host, HostColumn.CHECKED, flags | Checked.KNOWN)

    def checks_begun(self, host: Host) -> int:
        """When the last health check of it began, whoever has done it (ms); 0 if none has."""
        return self._hosts.highest(host.slot, HostColumn.CHECK_BEGUN)

    def begin_check(self, host: Host) -> int:
        """A health check of ours begins: others know for how long to leave it to us. Returns when."""
        now = self.now()
        self._hosts.set(host.slot, HostColumn.CHECK_BEGUN, now)
        return now

    def word(self, host: Host) -> int:
        """What health checks say, with the time: another one whenever anybody has said anything."""
        return self._hosts.highest(host.slot, HostColumn.CHECKED)

    def set_ejected(self, host: Host, *, ejected: bool) -> None:
        """Outlier detection has decided."""
        self._write(host, HostColumn.EJECTED, int(ejected))

    def changed(self) -> bool:
        """Whether anybody has changed anything since the last call."""
        if self.told:
            return False
        before, self._seen = self._seen, self._clusters.total(self._slot, ClusterColumn.STATUS_CHANGES)
        return before != self._seen

    def _write(self, host: Host, column: HostColumn, flags: int) -> None:
        before = self._hosts.highest(host.slot, column)
        stamp = max(self.now(), (before >> _FLAG_BITS) + 1)  # newer than what it replaces, in the same ms too
        self._hosts.set(host.slot, column, stamp << _FLAG_BITS | flags)
        if before & _FLAGS != flags:
            self._clusters.add(self._slot, ClusterColumn.STATUS_CHANGES, 1)
