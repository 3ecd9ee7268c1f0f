"""Endpoints of clusters (`config.endpoint.v3`): hosts with an address, and names for the resolver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from master.config.compile.address import compile_address
from master.config.compile.health_check import compile_endpoint_check
from master.config.compile.metadata import compile_host_metadata
from proxy.config.cluster import (
    OVERPROVISIONING,
    DnsEndpoint,
    DnsLocality,
    HealthStatus,
    Host,
    HostMetadata,
    LocalityHosts,
)
from proxy.config.common import SocketAddress

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.endpoint.v3.ClusterLoadAssignment": ("endpoints", "policy"),
    "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy": ("overprovisioning_factor", "weighted_priority_health"),
    "envoy.config.endpoint.v3.LocalityLbEndpoints": ("locality", "lb_endpoints", "load_balancing_weight", "priority"),
    "envoy.config.endpoint.v3.LbEndpoint": (
        "endpoint",
        "load_balancing_weight",
        "metadata",
        "health_status",
    ),
    "envoy.config.endpoint.v3.Endpoint": ("address", "hostname", "additional_addresses"),
    "envoy.config.endpoint.v3.Endpoint.AdditionalAddress": ("address",),
    "envoy.config.core.v3.Locality": ("region", "zone", "sub_zone"),
}

HEALTH: dict[int, HealthStatus] = {
    0: "HEALTHY",
    1: "HEALTHY",
    2: "UNHEALTHY",
    3: "DRAINING",
    4: "TIMEOUT",
    5: "DEGRADED",
}
"""`config.core.v3.HealthStatus`. The loader refuses other numbers (`defined_only`)."""

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
                additional = _additional(endpoint.endpoint, here)
                check = compile_endpoint_check(endpoint.endpoint, here)
                name = endpoint.endpoint.hostname
                hosts.append(Host(next(slots), address, name, *_balanced(endpoint), additional, check))
        localities.append(LocalityHosts(locality.priority, tuple(hosts), *_place(locality)))
    return tuple(localities)


def compile_names(assignment: Any, context: Context) -> tuple[DnsLocality, ...]:
    """What a STRICT_DNS or LOGICAL_DNS cluster has to resolve."""
    localities = []
    for place, locality in enumerate(assignment.endpoints):
        names = []
        for index, endpoint in enumerate(locality.lb_endpoints):
            here = context.at("endpoints", place, "lb_endpoints", index, "endpoint")
            if endpoint.WhichOneof("host_identifier") == "endpoint_name":
                continue
            if endpoint.endpoint.additional_addresses:
                words = "the addresses of a name are those that it has in DNS"
                here.error(("address",), words, "no additional_addresses")
            address = endpoint.endpoint.address
            if address.WhichOneof("address") != "socket_address":
                here.error(("address",), "a DNS cluster resolves names", "socket_address", kind="address")
                continue
            socket = address.socket_address
            host = endpoint.endpoint.hostname
            check = compile_endpoint_check(endpoint.endpoint, here)
            names.append(DnsEndpoint(socket.address, socket.port_value, host, *_balanced(endpoint), check))
        localities.append(DnsLocality(locality.priority, tuple(names), *_place(locality)))
    return tuple(localities)


def compile_policy(message: Any) -> tuple[int, bool]:
    """`overprovisioning_factor` and `weighted_priority_health`, from a `ClusterLoadAssignment.Policy`."""
    factor = message.overprovisioning_factor.value if message.HasField("overprovisioning_factor") else OVERPROVISIONING
    return factor, message.weighted_priority_health


def _additional(endpoint: Any, context: Context) -> tuple[SocketAddress, ...]:
    """Other addresses of a host that has one of IP."""
    found = []
    for index, message in enumerate(endpoint.additional_addresses):
        here = context.at("additional_addresses", index, "address")
        kinds = {each.WhichOneof("address") for each in (message.address, endpoint.address)}
        if "pipe" in kinds:
            here.error((), "a Unix socket is no host's other address", "socket_address", kind="address")
            continue
        address = compile_address(message.address, here)
        if isinstance(address, SocketAddress):
            found.append(address)
    return tuple(found)


def _place(locality: Any) -> tuple[str, str, str, int]:
    """Region, zone, sub-zone and weight."""
    at = locality.locality
    return at.region, at.zone, at.sub_zone, locality.load_balancing_weight.value


def _balanced(endpoint: Any) -> tuple[int, HostMetadata, HealthStatus]:
    """An endpoint's weight, metadata and health."""
    status = HEALTH[endpoint.health_status]
    return int(endpoint.load_balancing_weight.value) or 1, compile_host_metadata(endpoint.metadata), status
