"""`/config_dump?include_eds`: the hosts of every cluster as discovery gave them (`admin.v3.EndpointsConfigDump`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from master.admin import envoy_json
from proxy.config.cluster import Cluster, ClusterEndpoints, Endpoints, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.config.health_check import EndpointCheck
from proxy.upstream.health.target import checked_address

_DUMP = "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump"
_ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
_OVERPROVISIONING_FACTOR = 140
"""Envoy's default."""


Health = Mapping[int, str]
"""Row of a host → its `config.core.v3.HealthStatus`."""


def endpoints_dump(
    clusters: Iterable[Cluster], endpoints: Endpoints, health: Health, keep: Callable[[str], bool]
) -> dict[str, Any]:
    """The dump of those clusters whose name `keep` accepts."""
    found = [
        {"endpoint_config": _assignment(cluster.name, endpoints.clusters.get(cluster.name), health)}
        for cluster in clusters
        if keep(cluster.name)
    ]
    return {"@type": _DUMP, **({"static_endpoint_configs": found} if found else {})}


def _assignment(name: str, endpoints: ClusterEndpoints | None, health: Health) -> dict[str, Any]:
    localities = [_locality(locality, health) for locality in endpoints.localities] if endpoints else []
    return {
        "@type": _ASSIGNMENT,
        "cluster_name": name,
        **({"endpoints": localities} if localities else {}),
        "policy": {"overprovisioning_factor": _OVERPROVISIONING_FACTOR},
    }


def _locality(locality: LocalityHosts, health: Health) -> dict[str, Any]:
    return {
        "locality": envoy_json.set_fields(region=locality.region, zone=locality.zone, sub_zone=locality.sub_zone),
        "lb_endpoints": [_endpoint(host, health.get(host.slot, "HEALTHY")) for host in locality.hosts],
        "load_balancing_weight": locality.weight,
        **envoy_json.set_fields(priority=locality.priority),
    }


def _endpoint(host: Host, status: str) -> dict[str, Any]:
    check = host.check or EndpointCheck()
    checked_at = checked_address(host)
    port = checked_at.port if checked_at != host.address and isinstance(checked_at, SocketAddress) else 0
    return {
        "endpoint": {
            "address": envoy_json.address(str(host.address)),
            "health_check_config": envoy_json.set_fields(port_value=port, hostname=check.hostname),
            **envoy_json.set_fields(hostname=host.hostname),
        },
        "health_status": status,
        "load_balancing_weight": host.weight,
    }
