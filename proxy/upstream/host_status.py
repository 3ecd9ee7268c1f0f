"""How hosts are, as all workers see it: what health checks and outlier detection have said of each, in shared memory.

A word per host and kind of verdict, in the plane of the worker that wrote it: when (ms, monotonic), and 8 bits of
flags. Another worker may be the next to say something of the same host, so the newest word is the one that counts; it
outlives its writer. A count per cluster tells whoever looks that there is something new.
"""

from __future__ import annotations

import enum
import time
from typing import Final

from proxy.config.cluster import Host
from proxy.upstream.host_set import Health, told_health
from proxy.upstream.tables import ClusterColumn, HostColumn, Table, Tables

_FLAG_BITS: Final = 8
_FLAGS: Final = (1 << _FLAG_BITS) - 1


class Checked(enum.IntFlag):
    """What the last health check of a host has found (Envoy's `HealthFlag`)."""

    FAILED_ACTIVE_HC = 1
    DEGRADED_ACTIVE_HC = 2
    PENDING_ACTIVE_HC = 4  # added while others served: it is in no ratio until it was checked
    ACTIVE_HC_TIMEOUT = 8
    EXCLUDED_VIA_IMMEDIATE_HC_FAIL = 16
    KNOWN = 128  # somebody has checked it: without this bit nothing was ever said


class HostStatus:
    """Of the hosts of the cluster in row `slot`, which has health checks (`checks`), outlier detection (`ejects`), or
    neither: `told`, then its hosts are what their endpoints say.
    """

    __slots__ = ("_checks", "_clusters", "_ejects", "_hosts", "_seen", "_slot", "told")

    def __init__(self, tables: Tables, slot: int, *, checks: bool, ejects: bool) -> None:
        self._hosts: Table = tables.hosts
        self._clusters: Table = tables.clusters
        self._slot = slot
        self._checks = checks
        self._ejects = ejects
        self._seen = -1
        self.told = not (checks or ejects)

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

    def checked(self, host: Host) -> Checked:
        """What health checks say. A host of which they have said nothing yet has failed, as in Envoy."""
        if not self._checks:
            return Checked.KNOWN
        found = Checked(self._hosts.highest(host.slot, HostColumn.CHECKED) & _FLAGS)
        return found if found & Checked.KNOWN else Checked.FAILED_ACTIVE_HC

    def ejected(self, host: Host) -> bool:
        """Whether outlier detection keeps requests from it."""
        return self._ejects and bool(self._hosts.highest(host.slot, HostColumn.EJECTED) & _FLAGS)

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

    def set_ejected(self, host: Host, *, ejected: bool, now: int | None = None) -> None:
        """Outlier detection has decided, at `now` (ms, monotonic)."""
        self._write(host, HostColumn.EJECTED, int(ejected), now)

    def changed(self) -> bool:
        """Whether anybody has changed anything since the last call."""
        if self.told:
            return False
        before, self._seen = self._seen, self._clusters.total(self._slot, ClusterColumn.STATUS_CHANGES)
        return before != self._seen

    def _write(self, host: Host, column: HostColumn, flags: int, now: int | None = None) -> None:
        before = self._hosts.highest(host.slot, column)
        now = time.monotonic_ns() // 1_000_000 if now is None else now
        stamp = max(now, (before >> _FLAG_BITS) + 1)  # newer than what it replaces, in the same ms too
        self._hosts.set(host.slot, column, stamp << _FLAG_BITS | flags)
        if before & _FLAGS != flags:
            self._clusters.add(self._slot, ClusterColumn.STATUS_CHANGES, 1)
