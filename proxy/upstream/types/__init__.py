"""Clusters that find the host of a request in a way of their own. One file per type, one line here.

All other types differ in where their hosts come from, which is the controller's business: they are `Cluster`.
"""

from __future__ import annotations

TYPES = {
    "AGGREGATE": "proxy.upstream.types.aggregate:AggregateCluster",
    "ORIGINAL_DST": "proxy.upstream.types.original_dst:OriginalDstCluster",
}
"""`config.cluster.Cluster.type` → who serves it."""
