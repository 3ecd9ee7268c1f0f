"""Endpoints of clusters (`config.endpoint.v3`): hosts with an address, and names for the resolver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from master.config.compile.address import compile_address
from master.config.compile.metadata import compile_host_metadata
from proxy.config.cluster import DnsEndpoint, DnsLocality, Host, HostMetadata, LocalityHosts

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.endpoint.v3.ClusterLoadAssignment": ("endpoints",),
    "envoy.config.endpoint.v3.LocalityLbEndpoints": ("locality", "lb_endpoints"),
    "envoy.config.endpoint.v3.LbEndpoint": ("endpoint", "load_balancing_weight", "metadata"),
    "envoy.config.endpoint.v3.Endpoint": ("address", "hostname"),
    "envoy.config.core.v3.Locality": ("region", "zone", "sub_zone"),
}

HINT = "for a name, a cluster of type STRICT_DNS or LOGICAL_DNS"


def compile_hosts(assignment: Any, slots: Iterator[int], context: Context) -> tuple[LocalityHosts, ...]:
    """The hosts of a STATIC cluster. Each takes the next of `slots`, its row in the shared hosts table."""
    localities = []
    for place, locality in enumerate(assignment.endpoints):
        hosts = []
        for index, endpoint in enumerate(locality.lb_endpoints):
            here = context.at("endpoints", place, "lb_endpoints", index, "endpoint")
            if endpoint.WhichOneof("host_identifier") == "endpoint_name":
                continue
            address = compile_address(endpoint.endpoint.address, here.at("address"), hint=HINT)
            if address is not None:
                hosts.append(Host(next(slots), address, endpoint.endpoint.hostname, *_balanced(endpoint)))
        at = locality.locality
        localities.append(LocalityHosts(0, tuple(hosts), at.region, at.zone, at.sub_zone))
    return tuple(localities)


def compile_names(assignment: Any, context: Context) -> tuple[DnsLocality, ...]:
    """What a STRICT_DNS or LOGICAL_DNS cluster has to resolve."""
    localities = []
    for place, locality in enumerate(assignment.endpoints):
        names = []
        for index, endpoint in enumerate(locality.lb_endpoints):
            here = context.at("endpoints", place, "lb_endpoints", index, "endpoint", "address")
            if endpoint.WhichOneof("host_identifier") == "endpoint_name":
                continue
            address = endpoint.endpoint.address
            if address.WhichOneof("address") != "socket_address":
                here.error((), "a DNS cluster resolves names", "socket_address", kind="address")
                continue
            socket = address.socket_address
            host = endpoint.endpoint.hostname
            names.append(DnsEndpoint(socket.address, socket.port_value, host, *_balanced(endpoint)))
        at = locality.locality
        localities.append(DnsLocality(0, tuple(names), at.region, at.zone, at.sub_zone))
    return tuple(localities)


def _balanced(endpoint: Any) -> tuple[int, HostMetadata]:
    """An endpoint's weight and metadata."""
    return int(endpoint.load_balancing_weight.value) or 1, compile_host_metadata(endpoint.metadata)
