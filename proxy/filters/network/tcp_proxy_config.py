"""Configuration of the TCP proxy (`...filters.network.tcp_proxy.v3`)."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.access_log import AccessLog
from proxy.config.context import CompileContext

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy": (
        "stat_prefix",
        "cluster",
        "weighted_clusters",
        "idle_timeout",
        "max_connect_attempts",
        "max_downstream_connection_duration",
        "access_log",
        "access_log_options",
    ),
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TcpAccessLogOptions": (
        "flush_access_log_on_connected",
        "access_log_flush_interval",
    ),
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster": ("clusters",),
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight": ("name", "weight"),
}


class Config(msgspec.Struct, frozen=True):
    """`TcpProxy`. `clusters` are (name, weight); one entry where a single cluster is named. Seconds; 0 means none."""

    stat_prefix: str
    clusters: tuple[tuple[str, int], ...]
    idle_timeout: float = 3600.0
    max_connect_attempts: int = 1
    max_connection_duration: float = 0.0
    access_log: tuple[AccessLog, ...] = ()
    log_on_connected: bool = False
    log_interval: float = 0.0


def from_proto(message: Any, context: CompileContext) -> Config:
    """Compiles a `TcpProxy` message."""

    def seconds(field: str, default: float) -> float:
        return context.duration(getattr(message, field), field) if message.HasField(field) else default

    return Config(
        stat_prefix=message.stat_prefix,
        clusters=_clusters(message, context),
        idle_timeout=seconds("idle_timeout", 3600.0),
        max_connect_attempts=message.max_connect_attempts.value or 1,
        access_log=context.at("access_log").access_logs(message.access_log),
        log_on_connected=message.access_log_options.flush_access_log_on_connected,
        log_interval=context.at("access_log_options").duration(
            message.access_log_options.access_log_flush_interval, "access_log_flush_interval"
        ),
        max_connection_duration=seconds("max_downstream_connection_duration", 0.0),
    )


def _clusters(message: Any, context: CompileContext) -> tuple[tuple[str, int], ...]:
    if message.WhichOneof("cluster_specifier") != "weighted_clusters":
        context.require_cluster(message.cluster, "cluster")
        return ((message.cluster, 1),)
    choices = message.weighted_clusters.clusters
    for index, choice in enumerate(choices):
        context.require_cluster(choice.name, "weighted_clusters", "clusters", index, "name")
    return tuple((choice.name, choice.weight) for choice in choices)
