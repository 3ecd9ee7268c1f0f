"""What of a host's requests went well in the last interval, over all workers; and what is shown of it."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final, NamedTuple

from proxy.config.cluster import Host
from proxy.upstream.outlier import rates
from proxy.upstream.outlier.kinds import Kind
from proxy.upstream.outlier.statistics import Record, Verdict
from proxy.upstream.tables import ClusterColumn, HostColumn, Tables


class Origin(NamedTuple):
    """Whose doing successes and failures are, where these are counted and shown, and what hosts are found out by."""

    successes: HostColumn
    failures: tuple[HostColumn, ...]
    rate: HostColumn
    average: ClusterColumn
    threshold: ClusterColumn
    by_rate: Kind
    by_failures: Kind


EXTERNAL: Final = Origin(
    HostColumn.OUTLIER_SUCCESS,
    (HostColumn.OUTLIER_5XX, HostColumn.OUTLIER_GATEWAY_FAILURE),
    HostColumn.SUCCESS_RATE,
    ClusterColumn.SUCCESS_RATE_AVERAGE,
    ClusterColumn.SUCCESS_RATE_THRESHOLD,
    Kind.SUCCESS_RATE,
    Kind.FAILURE_PERCENTAGE,
)
"""All, unless those of our side of the connection are kept apart."""

LOCAL: Final = Origin(
    HostColumn.OUTLIER_LOCAL_SUCCESS,
    (HostColumn.OUTLIER_LOCAL_FAILURE,),
    HostColumn.LOCAL_SUCCESS_RATE,
    ClusterColumn.LOCAL_SUCCESS_RATE_AVERAGE,
    ClusterColumn.LOCAL_SUCCESS_RATE_THRESHOLD,
    Kind.SUCCESS_RATE_LOCAL_ORIGIN,
    Kind.FAILURE_PERCENTAGE_LOCAL_ORIGIN,
)


class Windows:
    """Of the cluster in row `slot`."""

    def __init__(self, tables: Tables, slot: int) -> None:
        self._hosts = tables.hosts
        self._clusters = tables.clusters
        self._slot = slot
        self._before: dict[tuple[HostColumn, int], tuple[int, int]] = {}

    def next(self, origin: Origin, host: Host) -> Record | None:
        """What went well of what `host` was asked since the last call; None if that was nothing, or nobody knows. Its
        rate is no longer shown.
        """
        total = self._hosts.total
        successes = total(host.slot, origin.successes)
        failures = sum(total(host.slot, column) for column in origin.failures)
        key = (origin.rate, host.slot)
        before, self._before[key] = self._before.get(key), (successes, failures)
        if rates.unpack(self._hosts.highest(host.slot, origin.rate)) != rates.NONE:
            self._show(host, origin, rates.NONE)
        if before is None:
            return None
        successes, failures = successes - before[0], failures - before[1]
        volume = successes + failures
        return Record(host, 100.0 * successes / volume, volume) if volume > 0 else None

    def keep(self, hosts: Collection[int]) -> None:
        """Forget those whose rows are not among `hosts`."""
        self._before = {key: counts for key, counts in self._before.items() if key[1] in hosts}

    def leave(self) -> None:
        """Others look after them: the next interval has no beginning."""
        self._before.clear()

    def show(self, origin: Origin, record: Record) -> None:
        """Show the rate of one host."""
        self._show(record.host, origin, record.rate)

    def show_all(self, origin: Origin, verdict: Verdict) -> None:
        """Show what the rates of hosts are measured by."""
        for column, rate in ((origin.average, verdict.average), (origin.threshold, verdict.threshold)):
            if rates.unpack(self._clusters.highest(self._slot, column)) != rate:
                self._clusters.set(self._slot, column, rates.pack(rate, _seconds()))

    def _show(self, host: Host, origin: Origin, rate: float) -> None:
        self._hosts.set(host.slot, origin.rate, rates.pack(rate, _seconds()))


def _seconds() -> int:
    return time.monotonic_ns() // 1_000_000_000
