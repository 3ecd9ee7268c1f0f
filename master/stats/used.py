"""`usedonly`: which stats were ever written, as Envoy means it: a gauge that fell back to zero was used, too.

Nobody keeps a mark for that. A gauge of what is going on has moved if and only if the counter beside it has, which a
short blip moves as well, and which outlives the worker that wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping

COMPANIONS: Mapping[str, str] = {
    "circuit_breakers.default.cx_open": "upstream_cx_total",
    "circuit_breakers.default.cx_pool_open": "upstream_cx_total",
    "circuit_breakers.default.rq_open": "upstream_rq_total",
    "circuit_breakers.default.rq_pending_open": "upstream_rq_pending_total",
    "circuit_breakers.default.rq_retry_open": "upstream_rq_retry",
    "downstream_cx_active": "downstream_cx_total",
    "downstream_cx_http1_active": "downstream_cx_http1_total",
    "downstream_cx_http2_active": "downstream_cx_http2_total",
    "downstream_cx_rx_bytes_buffered": "downstream_cx_rx_bytes_total",
    "downstream_pre_cx_active": "downstream_cx_total",
    "downstream_rq_active": "downstream_rq_total",
    "membership_degraded": "membership_change",
    "membership_excluded": "membership_change",
    "upstream_cx_active": "upstream_cx_total",
    "upstream_cx_rx_bytes_buffered": "upstream_cx_rx_bytes_total",
    "upstream_rq_active": "upstream_rq_total",
    "upstream_rq_pending_active": "upstream_rq_pending_total",
}
"""Gauge → the counter of the same scope that moves with it."""

ALWAYS = frozenset(
    {
        "cluster_manager.warming_clusters",
        "listener_manager.total_listeners_warming",
        "runtime.num_keys",
        "runtime.num_layers",
        "server.compilation_settings.fips_mode",
        "server.dynamic_unknown_fields",
        "server.state",
        "server.static_unknown_fields",
        "server.stats_recent_lookups",
        "server.total_connections",
        "server.version",
        "server.wip_protos",
    }
)
"""What a start writes, be it zero."""

_WARMING = ".warming_state"


def gauge_used(name: str, counters: Mapping[str, int]) -> bool:
    """Whether the gauge `name`, which is zero now, was ever written. `counters` are all of them."""
    if name in ALWAYS or name.endswith(_WARMING):
        return True
    for suffix in _suffixes(name):
        if (companion := COMPANIONS.get(suffix)) is not None:
            return counters.get(name.removesuffix(suffix) + companion, 0) > 0
    return False


def counter_used(name: str, value: int) -> bool:
    """Whether the counter `name` was ever written."""
    return value > 0 or name in ALWAYS


def _suffixes(name: str) -> list[str]:
    """The last part of `name`, and the last three (`circuit_breakers.default.cx_open`)."""
    parts = name.rsplit(".", 3)
    return [parts[-1], ".".join(parts[-3:])]
