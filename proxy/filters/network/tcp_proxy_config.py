"""Configuration of the TCP proxy (`...filters.network.tcp_proxy.v3`)."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.access_log.format import parse
from proxy.access_log.operator import FormatError
from proxy.config.access_log import AccessLog
from proxy.config.context import CompileContext
from proxy.config.header_mutation import Mutation
from proxy.config.lb_subsets import Labels
from proxy.filters.header_edits import OPTION_FIELDS, compile_option
from proxy.http.h1_strict import AUTHORITY, PATH
from proxy.route.labels import LB, labels_of, merged

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy": (
        "stat_prefix",
        "cluster",
        "weighted_clusters",
        "metadata_match",
        "idle_timeout",
        "max_connect_attempts",
        "max_downstream_connection_duration",
        "access_log",
        "access_log_options",
        "tunneling_config",
        "hash_policy",
    ),
    "envoy.type.v3.HashPolicy": ("source_ip",),
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig": (
        "hostname",
        "use_post",
        "post_path",
        "headers_to_add",
    ),
    **OPTION_FIELDS,
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TcpAccessLogOptions": (
        "flush_access_log_on_connected",
        "access_log_flush_interval",
    ),
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster": ("clusters",),
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight": (
        "name",
        "weight",
        "metadata_match",
    ),
}


class Choice(msgspec.Struct, frozen=True, gc=False):
    """One cluster, its share of the connections, and the labels of its hosts that they are for."""

    name: str
    weight: int = 1
    labels: Labels = ()


class Tunneling(msgspec.Struct, frozen=True, gc=False):
    """`TunnelingConfig`. `hostname` may have command operators. `post_path`: asked by a POST to it; else by CONNECT."""

    hostname: str
    headers: tuple[Mutation, ...] = ()
    post_path: str = ""


class Config(msgspec.Struct, frozen=True):
    """`TcpProxy`. `clusters` has one entry where a single cluster is named. Seconds; 0 means none. `hash_source_ip`:
    balancers that hash do so by the client's address.
    """

    stat_prefix: str
    clusters: tuple[Choice, ...]
    idle_timeout: float = 3600.0
    max_connect_attempts: int = 1
    max_connection_duration: float = 0.0
    access_log: tuple[AccessLog, ...] = ()
    log_on_connected: bool = False
    log_interval: float = 0.0
    tunneling: Tunneling | None = None
    hash_source_ip: bool = False


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
        tunneling=_tunneling(message, context.at("tunneling_config")),
        hash_source_ip=any(policy.HasField("source_ip") for policy in message.hash_policy),
    )


def _tunneling(message: Any, context: CompileContext) -> Tunneling | None:
    if not message.HasField("tunneling_config"):
        return None
    config = message.tunneling_config
    try:
        parse(config.hostname, formatters=())
    except FormatError as error:
        context.error(("hostname",), error.message, error.expected)
    if "%" not in config.hostname and not AUTHORITY.fullmatch(config.hostname.encode()):
        context.error(("hostname",), f"{config.hostname!r} is no target of a CONNECT", "a host and its port")
    if config.post_path and not config.use_post:
        context.error(("post_path",), "a path of no POST", "use_post: true")
    if config.post_path and not PATH.fullmatch(config.post_path.encode()):
        context.error(("post_path",), f"{config.post_path!r} is no path", "a path that begins with a slash")
    return Tunneling(
        config.hostname,
        tuple(
            compile_option(option, context.at("headers_to_add", index))
            for index, option in enumerate(config.headers_to_add)
        ),
        post_path=(config.post_path or "/") if config.use_post else "",
    )


def _clusters(message: Any, context: CompileContext) -> tuple[Choice, ...]:
    labels = _labels(message.metadata_match, context)
    if message.WhichOneof("cluster_specifier") != "weighted_clusters":
        context.require_cluster(message.cluster, "cluster")
        return (Choice(message.cluster, labels=labels),)
    choices = message.weighted_clusters.clusters
    for index, choice in enumerate(choices):
        context.require_cluster(choice.name, "weighted_clusters", "clusters", index, "name")
    return tuple(
        Choice(choice.name, choice.weight, merged(labels, _labels(choice.metadata_match, context)))
        for choice in choices
    )


def _labels(metadata: Any, context: CompileContext) -> Labels:
    return labels_of(context.struct(metadata.filter_metadata[LB])) if LB in metadata.filter_metadata else ()
