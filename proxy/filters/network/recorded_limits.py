"""The settings of a cluster that may have decided over a failure, for the flight recorder."""

from __future__ import annotations

from collections.abc import Callable

from proxy.config.cluster import Cluster
from proxy.config.route import ClusterAction

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


def limits_of_route(detail: str, action: ClusterAction) -> Limits:
    """Those of a route behind `detail`; none if it leaves that to others."""
    options = action.forwarding
    match detail:
        case "stream_idle_timeout" if options.idle_timeout is not None:
            return {"RouteAction.idle_timeout": options.idle_timeout}
        case "max_duration_timeout" if (duration := options.max_stream_duration) and duration.max_stream_duration:
            return {"RouteAction.MaxStreamDuration.max_stream_duration": duration.max_stream_duration}
        case "upstream_per_try_timeout" if options.retry is not None:
            return {"RetryPolicy.per_try_timeout": options.retry.per_try_timeout}
        case "upstream_per_try_idle_timeout" if options.retry is not None:
            return {"RetryPolicy.per_try_idle_timeout": options.retry.per_try_idle_timeout}
    return {}


def limits_of_cluster(detail: str, cluster: Cluster) -> Limits:
    """Those behind `detail`, whose reason stands in braces (`upstream_reset_…{overflow}`)."""
    if detail == "upstream_max_stream_duration_reached":
        return {"HttpProtocolOptions.max_stream_duration": cluster.max_stream_duration}
    reason = detail.partition("{")[2].rstrip("}").partition("|")[0]
    return _BY_REASON[reason](cluster) if reason in _BY_REASON else {}
