"""Clusters that find the host of a request in a way of their own. One file per type, one line here.

All other types differ in where their hosts come from, which is the controller's business: they are `Cluster`.
"""

from __future__ import annotations

TYPES = {
    "AGGREGATE": "proxy.upstream.types.aggregate:AggregateCluster",
    "DYNAMIC_FORWARD_PROXY": "proxy.upstream.types.dynamic_forward_proxy:DynamicForwardProxyCluster",
    "ORIGINAL_DST": "proxy.upstream.types.original_dst:OriginalDstCluster",
}
"""`config.cluster.Cluster.type` → who serves it."""
