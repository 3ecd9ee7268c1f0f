"""Who is ejected, and who comes back: what one worker decides for all of them, of one cluster (Envoy's `DetectorImpl`).

Whatever it decides by lies in shared memory: when a host was ejected, how often, how long the next time is to be. So
the next worker whose work this becomes goes on where the last one was; only the interval that rates are taken over
begins anew with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from random import Random
from typing import Any, Final

import trio
import xxhash

from proxy.config.cluster import Cluster, Host
from proxy.config.outlier import OutlierDetection
from proxy.stats import Stats
from proxy.upstream.host_status import HostStatus
from proxy.upstream.outlier import events, rates, statistics, streaks
from proxy.upstream.outlier.kinds import CONSECUTIVE, ENFORCING, Kind
from proxy.upstream.outlier.monitor import HostMonitor, SplitHostMonitor
from proxy.upstream.outlier.statistics import Record, Verdict
from proxy.upstream.outlier.stats import OutlierStats
from proxy.upstream.outlier.suspects import Suspects
from proxy.upstream.outlier.windows import EXTERNAL, LOCAL, Origin, Windows
from proxy.upstream.owners import Alone, Owners
from proxy.upstream.tables import HostColumn, Tables

log = logging.getLogger("proxy.upstream")

OpenLog = Callable[[str], Callable[[bytes], None]]
"""Takes the path of a log and gives what takes its lines."""

SLICE: Final = 256
"""Hosts that are looked at in one turn of the event loop."""


class Detector:
    """Of `cluster`, in row `slot`. `owners` say whether this worker decides; `changed` hears that a host was ejected or
    is back.
    """

    def __init__(
        self,
        cluster: Cluster,
        config: OutlierDetection,
        status: HostStatus,
        tables: Tables,
        slot: int,
        stats: Stats,
        owners: Owners | None,
        *,
        changed: Callable[[], None],
        open_log: OpenLog | None = None,
        random: Random | None = None,
    ) -> None:
        self._config = config
        self._name = cluster.name
        self._status = status
        self._table = tables.hosts
        self._stats = OutlierStats(stats, cluster.stat_name)
        self._owners = owners or Alone()
        self._changed = changed
        self._random = random or Random()
        self._write = open_log(config.event_log_path) if open_log is not None and config.event_log_path else None
        self._hosts: dict[int, Host] = {}
        self._ejected: set[int] | None = None  # rows; None: others look after them
        self._suspects = Suspects(tables.clusters, slot)
        self._windows = Windows(tables, slot)
        self._interval = max(1, round(config.interval * 1000))
        self._phase = xxhash.xxh64_intdigest(cluster.name.encode()) % self._interval  # each cluster has its own moment
        self._ticks = self._tick_number(status.now())

    def monitor(self, host: Host) -> HostMonitor:
        """What hears of requests to `host` in this worker."""
        kind = SplitHostMonitor if self._config.split_external_local_origin_errors else HostMonitor
        return kind(host, self._config, self._table, self._on_streak)

    def update(self, hosts: Collection[Host]) -> None:
        """The cluster has these hosts from now on."""
        self._hosts = {host.slot: host for host in hosts}
        self._windows.keep(self._hosts)
        if self._ejected is not None:
            self._note_ejected()

    def close(self) -> None:
        """The cluster has gone: nothing is decided any more."""
        self.update(())

    async def poll(self) -> None:
        """Do what is to be done, if it is this worker's: deal with what others have found, and with an interval that is
        over. Several times per second.
        """
        now = self._status.now()
        ticks, before = self._tick_number(now), self._ticks
        self._ticks = ticks
        if not self._take_over():
            return
        for found in self._suspects.news():
            for host in self._hosts.values() if found is None else filter(None, (self._hosts.get(found),)):
                self._handle(host, now)
        self._welcome_checked(now)
        if ticks != before:
            await self._tick(now)

    def _tick_number(self, now: int) -> int:
        return (now + self._phase) // self._interval

    def _take_over(self) -> bool:
        """Whether this worker decides, which it begins or ceases to do here."""
        if not self._owners.mine(self._name):
            if self._ejected is not None:
                self._ejected = None
                self._stats.active.set(0)
                self._suspects.leave()
                self._windows.leave()
            return False
        if self._ejected is None:
            self._note_ejected()
        return True

    def _note_ejected(self) -> None:
        self._ejected = {slot for slot, host in self._hosts.items() if self._status.ejected(host)}
        self._stats.active.set(len(self._ejected))

    # --- failures in a row ------------------------------------------------------------------------------------------

    def _on_streak(self, host: Host, kind: Kind) -> None:
        """A host has failed too often in a row, in this worker last."""
        if self._status.ejected(host) or host.slot not in self._hosts:
            return
        streaks.found(self._table, host.slot, streaks.COLUMNS[kind])
        if self._take_over():
            self._handle(host, self._status.now())
        else:
            self._suspects.tell(host.slot)

    def _handle(self, host: Host, now: int) -> None:
        """Deal with what was found of `host` in any worker."""
        for kind in CONSECUTIVE:
            columns = streaks.COLUMNS[kind]
            for _ in range(streaks.waiting(self._table, host.slot, columns)):
                streaks.handle(self._table, host.slot, columns)
                if self._status.ejected(host):
                    continue
                self._stats.detected[kind].inc()
                self._eject(host, kind, now)
                if kind is Kind.CONSECUTIVE_5XX:
                    self._stats.consecutive_5xx.inc()

    # --- at the end of an interval ----------------------------------------------------------------------------------

    async def _tick(self, now: int) -> None:
        records: dict[Origin, list[Record]] = {EXTERNAL: [], LOCAL: []}
        for number, host in enumerate(list(self._hosts.values()), 1):
            if host.slot not in self._hosts:  # it has gone in between: its row may be another's
                continue
            self._bring_back(host, now)
            ejected = self._status.ejected(host)
            for origin in (EXTERNAL, LOCAL) if self._config.split_external_local_origin_errors else (EXTERNAL,):
                record = self._windows.next(origin, host)
                if record is not None and not ejected:
                    records[origin].append(record)
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()
                if self._ejected is None:
                    return
        for origin, found in records.items():
            self._compare(origin, found, now)
        for host in list(self._hosts.values()):
            self._relax(host, now)

    def _bring_back(self, host: Host, now: int) -> None:
        ejected, since = self._status.ejection(host)
        if ejected and now - since >= self._ejection_time(host, since):
            self._uneject(host, now)

    def _ejection_time(self, host: Host, since: int) -> int:
        """How long the ejection that began at `since` lasts, in ms. Its jitter is drawn by what all workers know."""
        config = self._config
        times = self._table.total(host.slot, HostColumn.EJECTION_BACKOFF)
        longest = max(1, round(config.max_ejection_time_jitter * 1000) + 1)
        jitter = xxhash.xxh64_intdigest(f"{self._name} {host.slot} {since}".encode()) % longest
        return min(round(config.base_ejection_time * 1000) * times, round(config.max_ejection_time * 1000)) + jitter

    def _welcome_checked(self, now: int) -> None:
        """Hosts that a health check has found well since they were ejected are back at once."""
        if not self._config.successful_active_health_check_uneject_host or not self._ejected:
            return
        for host in [self._hosts[slot] for slot in self._ejected]:
            if self._status.passed_since(host, self._status.ejection(host)[1]):
                self._uneject(host, now)

    def _compare(self, origin: Origin, records: list[Record], now: int) -> None:
        config, hosts = self._config, len(self._hosts)
        verdict = Verdict()
        if hosts >= min(config.success_rate_minimum_hosts, config.failure_percentage_minimum_hosts):
            verdict = statistics.judge(config, records)
            volume = min(config.success_rate_request_volume, config.failure_percentage_request_volume)
            for record in records:
                if record.volume >= volume:
                    self._windows.show(origin, record)
        self._windows.show_all(origin, verdict)
        for kind, found in ((origin.by_rate, verdict.by_rate), (origin.by_failures, verdict.by_failures)):
            for record in found:
                if kind is origin.by_rate:
                    self._stats.success_rate.inc()
                self._stats.detected[kind].inc()
                if record.host.slot in self._hosts and not self._status.ejected(record.host):
                    self._eject(record.host, kind, now, rate=record.rate, verdict=verdict)

    def _relax(self, host: Host, now: int) -> None:
        """A host that has been well for an interval is ejected for a shorter time when it fails again."""
        ejected, since = self._status.ejection(host)
        if ejected or not since or now - since < self._interval:
            return
        if self._table.total(host.slot, HostColumn.EJECTION_BACKOFF) > 0:
            self._table.add(host.slot, HostColumn.EJECTION_BACKOFF, -1)

    # --- the decisions ----------------------------------------------------------------------------------------------

    def _eject(
        self, host: Host, kind: Kind, now: int, *, rate: float = rates.NONE, verdict: Verdict | None = None
    ) -> None:
        config, stats = self._config, self._stats
        if not self._may_eject():
            stats.overflow.inc()
            return
        if kind in (Kind.CONSECUTIVE_5XX, Kind.SUCCESS_RATE):
            stats.total.inc()
        enforced = self._random.randrange(100) < getattr(config, ENFORCING[kind])
        _, since = self._status.ejection(host)
        if enforced:
            assert self._ejected is not None
            self._ejected.add(host.slot)
            stats.active.set(len(self._ejected))
            stats.enforced_total.inc()
            stats.enforced[kind].inc()
            self._table.add(host.slot, HostColumn.EJECTIONS, 1)
            times = self._table.total(host.slot, HostColumn.EJECTION_BACKOFF)
            if times * config.base_ejection_time < config.max_ejection_time + config.base_ejection_time:
                self._table.add(host.slot, HostColumn.EJECTION_BACKOFF, 1)
            self._status.set_ejected(host, ejected=True)
            self._changed()
        log.info("cluster %s: %s %s: %s", self._name, host.address, _done(enforced), kind.value)
        if self._write is not None:
            about = self._about(host, now, since)
            self._write(events.ejected(kind, about, enforced=enforced, rate=rate, verdict=verdict))

    def _may_eject(self) -> bool:
        assert self._ejected is not None
        if self._config.always_eject_one_host and not self._ejected:
            return True
        return 100.0 * (len(self._ejected) + 1) / len(self._hosts) <= min(100, self._config.max_ejection_percent)

    def _uneject(self, host: Host, now: int) -> None:
        assert self._ejected is not None
        self._ejected.discard(host.slot)
        self._stats.active.set(len(self._ejected))
        _, since = self._status.ejection(host)
        streaks.forget(self._table, host.slot)
        self._status.set_ejected(host, ejected=False)
        self._changed()
        log.info("cluster %s: %s is back", self._name, host.address)
        if self._write is not None:
            self._write(events.unejected(self._about(host, now, since)))

    def _about(self, host: Host, now: int, since: int) -> dict[str, object]:
        seconds = (now - since) // 1000 if since else None
        ejections = self._table.total(host.slot, HostColumn.EJECTIONS)
        return events.about(self._name, str(host.address), ejections=ejections, seconds=seconds)


def detector_of(
    cluster: Cluster, status: HostStatus, tables: Tables, slot: int, stats: Stats, owners: Owners | None, **hooks: Any
) -> Detector | None:
    """That of a cluster which has outlier detection."""
    config = cluster.outlier
    return None if config is None else Detector(cluster, config, status, tables, slot, stats, owners, **hooks)


def _done(enforced: bool) -> str:
    return "ejected" if enforced else "found out, not ejected"
