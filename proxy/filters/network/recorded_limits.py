"""The settings of a cluster that may have decided over a failure, for the flight recorder."""

from __future__ import annotations

from collections.abc import Callable

from proxy.config.cluster import Cluster

Limits = dict[str, float]
"""Envoy's field (`Cluster.connect_timeout`) → its value, in seconds or units."""

_BY_REASON: dict[str, Callable[[Cluster], Limits]] = {
    "connection_timeout": lambda cluster: {"Cluster.connect_timeout": cluster.connect_timeout},
    "overflow": lambda cluster: {
        "CircuitBreakers.Thresholds.max_connections": cluster.breaker.max_connections,
        "CircuitBreakers.Thresholds.max_pending_requests": cluster.breaker.max_pending_requests,
        "CircuitBreakers.Thresholds.max_requests": cluster.breaker.max_requests,
    },
}


def limits_of_cluster(detail: str, cluster: Cluster) -> Limits:
    """Those behind `detail`, whose reason stands in braces (`upstream_reset_…{overflow}`)."""
    reason = detail.partition("{")[2].rstrip("}").partition("|")[0]
    return _BY_REASON[reason](cluster) if reason in _BY_REASON else {}
