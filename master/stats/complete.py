"""What Envoy shows beyond what anybody here counts: constants per scope, and totals of what a reader can see itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from master.stats import constants as names
from shm.metrics import Metrics

NO_CERTIFICATE = 2**32 - 1
"""`server.days_until_first_cert_expiring` where there is none."""

ADMIN = "listener.admin."


def complete(metrics: Metrics) -> Metrics:
    """`metrics` and every further name of Envoy's; what is there already stays. A scope exists when its
    `…_cx_total` does.
    """
    counters, gauges, histograms = dict(metrics.counters), dict(metrics.gauges), dict(metrics.histograms)
    workers = gauges.get("server.concurrency", 0)
    clusters = list(_scopes(counters, "cluster.", "upstream_cx_total"))
    listeners = [scope for scope in _scopes(counters, "listener.", "downstream_cx_total") if "worker_" not in scope]
    _zeros(counters, "", names.GLOBAL_COUNTERS)
    _zeros(gauges, "", names.GLOBAL_GAUGES)
    _zeros(counters, "http1.", names.CODEC_COUNTERS)
    _http2("", counters, gauges)
    _zeros(counters, "http.async-client.", names.ROUTER_COUNTERS)
    for scope in clusters:
        _cluster(scope, counters, gauges)
    for scope in _scopes(counters, "http.", "downstream_cx_total"):
        _zeros(counters, scope, names.HTTP_COUNTERS)
        _zeros(gauges, scope, names.HTTP_GAUGES)
        if scope == "http.admin.":
            _zeros(counters, scope, names.ADMIN_HTTP_COUNTERS)
        if f"{scope}rq_total" in counters:
            _zeros(counters, scope, (*names.ROUTER_COUNTERS, *names.TRACING_COUNTERS))
    for scope in listeners:
        _listener(scope, counters, gauges, histograms)
    for index in range(workers):
        _zeros(counters, f"server.worker_{index}.", names.WATCHDOG_COUNTERS)
        gauges.setdefault(f"thread_local_cluster_manager.worker_{index}.clusters_inflated", len(clusters))
    gauges.setdefault("thread_local_cluster_manager.main_thread.clusters_inflated", len(clusters))
    gauges.setdefault("server.days_until_first_cert_expiring", NO_CERTIFICATE)
    added = len([scope for scope in listeners if scope != ADMIN])
    counters.setdefault("cluster_manager.cluster_added", len(clusters))
    counters.setdefault("listener_manager.listener_added", added)
    counters.setdefault("listener_manager.listener_create_success", added * workers)
    for name in names.GLOBAL_HISTOGRAMS:
        histograms.setdefault(name, {})
    return Metrics(counters=counters, gauges=gauges, histograms=histograms)


def _cluster(scope: str, counters: dict[str, int], gauges: dict[str, int]) -> None:
    _zeros(counters, scope, names.CLUSTER_COUNTERS)
    _zeros(gauges, scope, names.CLUSTER_GAUGES)
    # Hosts of the bootstrap were one change; those of DNS are counted by who resolves them.
    members = int(gauges.get(f"{scope}membership_total", 0) > 0)
    counters.setdefault(f"{scope}membership_change", members)
    counters.setdefault(f"{scope}default.total_match_count", gauges.get(f"{scope}membership_total", 0))
    if counters.get(f"{scope}upstream_cx_http1_total"):
        _zeros(counters, f"{scope}http1.", names.CODEC_COUNTERS)
    _http2(scope, counters, gauges)


def _http2(scope: str, counters: dict[str, int], gauges: dict[str, int]) -> None:
    if f"{scope}http2.rx_reset" in counters:
        _zeros(counters, f"{scope}http2.", names.HTTP2_COUNTERS)
        _zeros(gauges, f"{scope}http2.", names.HTTP2_GAUGES)


def _listener(
    scope: str, counters: dict[str, int], gauges: dict[str, int], histograms: dict[str, dict[int, int]]
) -> None:
    _zeros(counters, scope, names.LISTENER_COUNTERS)
    _zeros(gauges, scope, names.LISTENER_GAUGES)
    for name in names.LISTENER_HISTOGRAMS:
        histograms.setdefault(scope + name, {})
    if scope != ADMIN:
        _zeros(counters, scope, names.EXTENSION_COUNTERS)
        return
    counters.setdefault(f"{scope}main_thread.downstream_cx_total", counters[f"{scope}downstream_cx_total"])
    gauges.setdefault(f"{scope}main_thread.downstream_cx_active", gauges.get(f"{scope}downstream_cx_active", 0))


def _scopes(counters: Iterable[str], kind: str, last: str) -> Iterator[str]:
    """`cluster.a.` for `cluster.a.<last>`."""
    return (name.removesuffix(last) for name in list(counters) if name.startswith(kind) and name.endswith("." + last))


def _zeros(stats: dict[str, int], scope: str, of: Iterable[str]) -> None:
    for name in of:
        stats.setdefault(scope + name, 0)
