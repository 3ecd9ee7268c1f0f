"""Clusters of type ORIGINAL_DST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.config.original_dst import OriginalDst

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.cluster.v3.Cluster": (
        "type=ORIGINAL_DST",
        "lb_policy=CLUSTER_PROVIDED",
        "original_dst_lb_config",
        "cleanup_interval",
    ),
    "envoy.config.cluster.v3.Cluster.OriginalDstLbConfig": (
        "use_http_header",
        "http_header_name",
        "upstream_port_override",
        "metadata_key",
    ),
    "envoy.type.metadata.v3.MetadataKey": ("key", "path"),
    "envoy.type.metadata.v3.MetadataKey.PathSegment": ("key",),
}

DEFAULT_HEADER = "x-envoy-original-dst-host"
DEFAULT_CLEANUP = 5.0


def compile_original_dst(cluster: Any, context: Context) -> OriginalDst:
    """Hosts come from requests: whatever supposes that they are known has nothing to look at."""
    for field in ("load_assignment", "lb_subset_config", "outlier_detection"):
        if cluster.HasField(field):
            context.error((field,), "an ORIGINAL_DST cluster knows no hosts beforehand", f"no {field}")
    if cluster.health_checks:
        context.error(("health_checks",), "an ORIGINAL_DST cluster knows no hosts beforehand", "no health_checks")
    message, here = cluster.original_dst_lb_config, context.at("original_dst_lb_config")
    header = b""
    if message.use_http_header:
        header = (message.http_header_name or DEFAULT_HEADER).lower().encode()
    elif message.http_header_name:
        here.error(("http_header_name",), "nobody looks at the header", "use_http_header: true")
    interval = DEFAULT_CLEANUP
    if cluster.HasField("cleanup_interval"):
        interval = context.duration(cluster.cleanup_interval, "cleanup_interval")
    return OriginalDst(header, _path(message.metadata_key), message.upstream_port_override.value, interval)


def _path(key: Any) -> tuple[str, ...]:
    return (key.key, *(segment.key for segment in key.path)) if key.key else ()
