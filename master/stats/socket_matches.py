"""`cluster.<c>.<match>.total_match_count`: how many hosts a cluster's transport sockets are for."""

from __future__ import annotations

from collections import Counter

from proxy.config.cluster import Cluster, ClusterEndpoints
from proxy.upstream.socket_matches import DEFAULT, place_of


def counted(cluster: Cluster, endpoints: ClusterEndpoints | None) -> dict[str, int]:
    """By name. Envoy counts whenever it makes a host; here it is those that there are."""
    hosts = [host for locality in endpoints.localities for host in locality.hosts] if endpoints else []
    found = Counter(dict.fromkeys((DEFAULT, *(match.name for match in cluster.socket_matches)), 0))
    for host in hosts:
        place = place_of(cluster.socket_matches, host.metadata) if cluster.socket_matches else -1
        found[DEFAULT if place < 0 else cluster.socket_matches[place].name] += 1
    return {f"cluster.{cluster.stat_name}.{name}.total_match_count": count for name, count in found.items()}
