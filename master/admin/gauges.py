"""Gauges of clusters that no worker can write, since they are facts about all of them: members and breakers."""

from __future__ import annotations

from collections.abc import Iterator

from master.admin.view import ServerView
from proxy.config.cluster import Cluster, ClusterEndpoints
from proxy.upstream.tables import ClusterColumn


def known(view: ServerView) -> dict[str, int]:
    """All of them by name."""
    return dict(_all(view))


def _all(view: ServerView) -> Iterator[tuple[str, int]]:
    for cluster in view.config.clusters:
        prefix = f"cluster.{cluster.stat_name}."
        yield from _membership(prefix, cluster, view.endpoints.clusters.get(cluster.name))
        yield from _breaker(prefix, cluster, view)


def _membership(prefix: str, cluster: Cluster, endpoints: ClusterEndpoints | None) -> Iterator[tuple[str, int]]:
    hosts = [host for locality in endpoints.localities for host in locality.hosts] if endpoints else []
    # Without health checks every host that discovery gave is healthy.
    yield f"{prefix}membership_total", len(hosts)
    yield f"{prefix}membership_healthy", len(hosts)
    yield f"{prefix}membership_degraded", 0
    yield f"{prefix}membership_excluded", 0
    weights = [host.weight for host in hosts if cluster.type == "STRICT_DNS"]  # Envoy leaves the other types at 0
    yield f"{prefix}max_host_weight", max(weights, default=0)


def _breaker(prefix: str, cluster: Cluster, view: ServerView) -> Iterator[tuple[str, int]]:
    """`*_open` is 1 at the limit (features §13 rule 38), over all workers."""
    limits, endpoints = cluster.breaker, view.endpoints.clusters.get(cluster.name)
    slot = endpoints.slot if endpoints is not None else 0
    for name, column, limit in (
        ("cx_open", ClusterColumn.CONNECTIONS, limits.max_connections),
        ("rq_pending_open", ClusterColumn.PENDING, limits.max_pending_requests),
        ("rq_open", ClusterColumn.REQUESTS, limits.max_requests),
        ("rq_retry_open", ClusterColumn.RETRIES, limits.max_retries),
    ):
        yield f"{prefix}circuit_breakers.default.{name}", int(view.clusters.total(slot, column) >= limit)
