"""What becomes of a request on a route: `config.route.v3.RouteAction`, `DirectResponseAction`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.config.route import ClusterAction, ClusterWeight, DirectResponseAction

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.route.v3.RouteAction": ("cluster", "weighted_clusters", "timeout"),
    "envoy.config.route.v3.WeightedCluster": ("clusters",),
    "envoy.config.route.v3.WeightedCluster.ClusterWeight": ("name", "weight", "typed_per_filter_config"),
    "envoy.config.route.v3.DirectResponseAction": ("status", "body"),
}


def compile_action(message: Any, context: Context) -> ClusterAction | None:
    timeout = context.duration(message.timeout, "timeout") if message.HasField("timeout") else 15.0
    if message.WhichOneof("cluster_specifier") == "weighted_clusters":
        shares = _shares(message.weighted_clusters.clusters, context.at("weighted_clusters"))
        return ClusterAction("", timeout=timeout, weighted=shares) if shares else None
    if not message.cluster:
        return None
    context.require_cluster(message.cluster, "cluster")
    return ClusterAction(cluster=message.cluster, timeout=timeout)


def _shares(messages: Any, context: Context) -> tuple[ClusterWeight, ...]:
    """Empty if there is no cluster to choose, which is reported."""
    shares = []
    for index, message in enumerate(messages):
        here = context.at("clusters", index)
        if not message.HasField("weight"):
            here.error((), f"cluster {message.name!r} has no weight", "weight")
        if message.name:
            here.require_cluster(message.name, "name")
        elif not here.incomplete():
            here.error((), "a weighted cluster without a name", "name")
        per_filter = here.at("typed_per_filter_config").typed_per_filter_config(message.typed_per_filter_config)
        shares.append(ClusterWeight(message.name, message.weight.value, per_filter))
    total = sum(share.weight for share in shares)
    if not 0 < total < 2**32:
        context.error(("clusters",), f"the weights add up to {total}", "a sum of 1 to 4294967295")
        return ()
    return tuple(shares)


def compile_direct_response(message: Any, limit: int, context: Context) -> DirectResponseAction:
    return DirectResponseAction(message.status, context.data_source(message.body, "body", limit=limit))
