"""Clusters that are made of others: `extensions.clusters.aggregate.v3.ClusterConfig`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proxy.config.cluster import Cluster

if TYPE_CHECKING:
    from master.config.compile.context import Context

AGGREGATE = "envoy.extensions.clusters.aggregate.v3.ClusterConfig"

FIELDS: dict[str, tuple[str, ...]] = {AGGREGATE: ("clusters",)}


def compile_aggregate(cluster: Any, message: Any, context: Context) -> tuple[str, ...]:
    """The names of its members. It has no hosts of its own."""
    for field in ("load_assignment", "lb_subset_config", "outlier_detection"):
        if cluster.HasField(field):
            context.error((field,), "the hosts of an aggregate are its members' own", f"{field} of the members")
    if cluster.health_checks:
        context.error(("health_checks",), "the hosts of an aggregate are its members' own", "those of the members")
    here = context.at("cluster_type", "typed_config", "clusters")
    for index, name in enumerate(message.clusters):
        here.require_cluster(name, index)
    return tuple(message.clusters)


def check_members(clusters: Mapping[str, Cluster], contexts: Sequence[Context]) -> None:
    """Members have hosts of their own that are known beforehand. `contexts` are those of `clusters`."""
    for cluster, context in zip(clusters.values(), contexts, strict=False):
        for index, name in enumerate(cluster.members):
            kind = clusters[name].type if name in clusters else ""
            if kind in ("AGGREGATE", "ORIGINAL_DST", "DYNAMIC_FORWARD_PROXY"):
                place = ("cluster_type", "typed_config", "clusters", index)
                context.error(place, f"{name!r} has no hosts that could be balanced: {kind}", "a cluster with hosts")
