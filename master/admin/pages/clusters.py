"""`/clusters`: limits and hosts of every cluster, with what all workers did to each host."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import trio

from master.admin import envoy_json, parameters
from master.admin.host_health import HostHealth
from master.admin.page import JSON, Context, Reply, Request
from master.admin.view import ServerView
from proxy.config.cluster import CircuitBreaker, Cluster, Host, LocalityHosts
from proxy.route.host_predicates import is_canary
from proxy.upstream.outlier import rates
from proxy.upstream.tables import ClusterColumn, HostColumn

# Per host, in Envoy's order: the text lists all by name, the JSON counters before gauges. `rq_pending_active` counts
# requests that wait for a connection to this very host; ours wait at the cluster, so it has no column.
_COUNTERS = (
    ("cx_connect_fail", HostColumn.CX_CONNECT_FAIL),
    ("cx_total", HostColumn.CX_TOTAL),
    ("rq_error", HostColumn.RQ_ERROR),
    ("rq_success", HostColumn.RQ_SUCCESS),
    ("rq_timeout", HostColumn.RQ_TIMEOUT),
    ("rq_total", HostColumn.RQ_TOTAL),
)
_HOST_RATES = (
    ("success_rate", HostColumn.SUCCESS_RATE),
    ("local_origin_success_rate", HostColumn.LOCAL_SUCCESS_RATE),
)
_CLUSTER_RATES = (
    ("success_rate_average", ClusterColumn.SUCCESS_RATE_AVERAGE),
    ("success_rate_ejection_threshold", ClusterColumn.SUCCESS_RATE_THRESHOLD),
    ("local_origin_success_rate_average", ClusterColumn.LOCAL_SUCCESS_RATE_AVERAGE),
    ("local_origin_success_rate_ejection_threshold", ClusterColumn.LOCAL_SUCCESS_RATE_THRESHOLD),
)
_GAUGES = (("cx_active", HostColumn.CX_ACTIVE), ("rq_active", HostColumn.RQ_ACTIVE), ("rq_pending_active", None))


async def page(request: Request, context: Context) -> Reply:
    view = context.view
    wanted = parameters.regex(request.query.get("filter", ""), "Invalid re2 regex")
    clusters = [cluster for cluster in view.config.clusters if wanted(cluster.name)]
    as_json = request.query.get("format") == "json"
    statuses: list[dict[str, Any]] = []
    lines: list[str] = []
    for cluster in clusters:
        if as_json:
            statuses.append(_status(view, cluster))
        else:
            lines += _lines(view, cluster)
        await trio.lowlevel.checkpoint()  # hundreds of thousands of hosts take seconds; the loop goes on meanwhile
    return Reply(envoy_json.dump({"cluster_statuses": statuses}), JSON) if as_json else Reply("".join(lines).encode())


def _priorities(cluster: Cluster) -> tuple[tuple[str, CircuitBreaker], ...]:
    return (("default", cluster.breaker), ("high", cluster.high_breaker))


def _limits(breaker: CircuitBreaker) -> dict[str, int]:
    return {
        "max_connections": breaker.max_connections,
        "max_pending_requests": breaker.max_pending_requests,
        "max_requests": breaker.max_requests,
        "max_retries": breaker.max_retries,
    }


def _hosts(view: ServerView, cluster: Cluster) -> Iterator[tuple[LocalityHosts, Host]]:
    endpoints = view.endpoints.clusters.get(cluster.name)
    for locality in endpoints.localities if endpoints else ():
        for host in locality.hosts:
            yield locality, host


def _count(view: ServerView, host: Host, column: HostColumn | None) -> int:
    return 0 if column is None else max(0, view.hosts.total(host.slot, column))


def _lines(view: ServerView, cluster: Cluster) -> Iterator[str]:
    name = cluster.name
    yield f"{name}::observability_name::{cluster.alt_stat_name or name}\n"
    for rate, value in _cluster_rates(view, cluster):
        yield f"{name}::outlier::{rate}::{value:g}\n"
    for priority, breaker in _priorities(cluster):
        for limit, most in _limits(breaker).items():
            yield f"{name}::{priority}_priority::{limit}::{most}\n"
    yield f"{name}::added_via_api::false\n"
    health = HostHealth(cluster, view.hosts)
    for locality, host in _hosts(view, cluster):
        for key, shown in _host(view, health, locality, host):
            yield f"{name}::{host.address}::{key}::{shown}\n"


def _cluster_rates(view: ServerView, cluster: Cluster) -> Iterator[tuple[str, float]]:
    """What success rates of hosts are measured by, where there is outlier detection; -1 where nobody knows."""
    endpoints = view.endpoints.clusters.get(cluster.name)
    if cluster.outlier is None or endpoints is None:
        return
    for name, column in _CLUSTER_RATES:
        yield name, rates.unpack(view.clusters.highest(endpoints.slot, column))


def _host_rate(view: ServerView, host: Host, column: HostColumn) -> float:
    return rates.unpack(view.hosts.highest(host.slot, column))


def _host(view: ServerView, health: HostHealth, locality: LocalityHosts, host: Host) -> Iterator[tuple[str, object]]:
    for stat, column in sorted((*_COUNTERS, *_GAUGES)):
        yield stat, _count(view, host, column)
    yield "hostname", host.hostname
    yield "health_flags", health.text(host)
    yield "weight", host.weight
    yield "region", locality.region
    yield "zone", locality.zone
    yield "sub_zone", locality.sub_zone
    yield "canary", str(is_canary(host)).lower()
    yield "priority", locality.priority
    for name, of in _HOST_RATES:
        yield name, f"{_host_rate(view, host, of):g}"


def _status(view: ServerView, cluster: Cluster) -> dict[str, Any]:
    health = HostHealth(cluster, view.hosts)
    hosts = [_host_status(view, health, locality, host) for locality, host in _hosts(view, cluster)]
    thresholds = [
        {**({} if name == "default" else {"priority": name.upper()}), **_limits(breaker)}
        for name, breaker in _priorities(cluster)
    ]
    return {
        "name": cluster.name,
        **_rates(_cluster_rates(view, cluster), ("success_rate_average", "local_origin_success_rate_average")),
        **({"host_statuses": hosts} if hosts else {}),
        "circuit_breakers": {"thresholds": thresholds},
        "observability_name": cluster.alt_stat_name or cluster.name,
    }


def _rates(found: Iterable[tuple[str, float]], but: Collection[str] = ()) -> dict[str, Any]:
    """Those that are known, as `type.v3.Percent`. Envoy has no field for averages."""
    return {name: {"value": rate} if rate else {} for name, rate in found if rate >= 0 and name not in but}


def _host_status(view: ServerView, health: HostHealth, locality: LocalityHosts, host: Host) -> dict[str, Any]:
    counters = [_stat(name, _count(view, host, column)) for name, column in _COUNTERS]
    gauges = [{"type": "GAUGE", **_stat(name, _count(view, host, column))} for name, column in _GAUGES]
    return {
        "address": envoy_json.address(str(host.address)),
        "stats": [*counters, *gauges],
        "health_status": health.json(host),
        **_rates((name, _host_rate(view, host, column)) for name, column in _HOST_RATES),
        **envoy_json.set_fields(weight=host.weight, hostname=host.hostname, priority=locality.priority),
        "locality": envoy_json.set_fields(region=locality.region, zone=locality.zone, sub_zone=locality.sub_zone),
    }


def _stat(name: str, value: int) -> dict[str, object]:
    """`SimpleMetric`: 64-bit values are strings in protobuf JSON, and zero is left out."""
    return {**({"value": str(value)} if value else {}), "name": name}
