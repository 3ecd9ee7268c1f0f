"""Gauges of clusters that no worker can write, since they are facts about all of them: members and breakers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from master.admin import hash_tables
from master.admin.view import ServerView
from proxy.config.cluster import Cluster
from proxy.upstream.circuit_breaker import DEFAULT, HIGH, UNLIMITED
from proxy.upstream.host_set import Health, HostSet
from proxy.upstream.host_status import Checked, HostVerdicts


def known(view: ServerView) -> dict[str, int]:
    """All of them by name."""
    return dict(_all(view))


def _all(view: ServerView) -> Iterator[tuple[str, int]]:
    for cluster in view.config.clusters:
        prefix = f"cluster.{cluster.stat_name}."
        yield from _membership(prefix, cluster, view)
        yield from _breakers(prefix, cluster, view)


def _membership(prefix: str, cluster: Cluster, view: ServerView) -> Iterator[tuple[str, int]]:
    endpoints = view.endpoints.clusters.get(cluster.name)
    hosts = [host for locality in endpoints.localities for host in locality.hosts] if endpoints else []
    verdicts = HostVerdicts.of(cluster, view.hosts)
    found = Counter(map(verdicts.health, hosts))
    yield f"{prefix}membership_total", len(hosts)
    yield f"{prefix}membership_healthy", found[Health.HEALTHY]
    yield f"{prefix}membership_degraded", found[Health.DEGRADED]
    yield f"{prefix}membership_excluded", found[Health.EXCLUDED]
    weights = [host.weight for host in hosts if cluster.type == "STRICT_DNS"]  # Envoy leaves the other types at 0
    yield f"{prefix}max_host_weight", max(weights, default=0)
    if cluster.health_check is not None:
        flags = [verdicts.checked(host) for host in hosts if host.check is None or not host.check.disabled]
        yield f"{prefix}health_check.healthy", sum(not each & Checked.FAILED_ACTIVE_HC for each in flags)
        yield f"{prefix}health_check.degraded", sum(bool(each & Checked.DEGRADED_ACTIVE_HC) for each in flags)
    if cluster.subsets is None:  # whose tables Envoy counts over each other
        yield from hash_tables.gauges(prefix, cluster.lb, HostSet.of(endpoints, verdicts.health))


def _breakers(prefix: str, cluster: Cluster, view: ServerView) -> Iterator[tuple[str, int]]:
    """`*_open` is 1 at the limit (features §13 rule 38), over all workers; `remaining_*` only where it is asked for."""
    endpoints = view.endpoints.clusters.get(cluster.name)
    slot = endpoints.slot if endpoints is not None else 0
    for priority, limits, columns in (("default", cluster.breaker, DEFAULT), ("high", cluster.high_breaker, HIGH)):
        here = f"{prefix}circuit_breakers.{priority}."
        pools = UNLIMITED if limits.max_connection_pools is None else limits.max_connection_pools
        most = (limits.max_connections, limits.max_pending_requests, limits.max_requests, limits.max_retries, pools)
        for name, column, limit in zip(REMAINING, columns, most, strict=True):
            taken = max(0, view.clusters.total(slot, column))
            yield f"{here}{name}_open", int(taken >= limit)
            if limits.track_remaining:  # a budget is another one with every request, so Envoy does not say
                told = name != "rq_retry" or limits.retry_budget is None
                yield f"{here}{REMAINING[name]}", max(0, limit - taken) if told else 0


REMAINING = {
    "cx": "remaining_cx",
    "rq_pending": "remaining_pending",
    "rq": "remaining_rq",
    "rq_retry": "remaining_retries",
    "cx_pool": "remaining_cx_pools",
}
