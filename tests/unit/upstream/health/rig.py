"""A host to check, on real sockets, and what was counted of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from proxy.config.cluster import Cluster, Host
from proxy.config.common import Address
from proxy.config.header_mutation import Mutation
from proxy.config.health_check import GrpcCheck, HealthCheck, HttpCheck, TcpCheck
from proxy.filters.header_edits import compile_request_edits
from proxy.stats import MemoryStats
from proxy.upstream.background import Background
from proxy.upstream.codecs import Codecs
from proxy.upstream.health.stats import HealthCheckStats
from proxy.upstream.health.target import Means, Target
from proxy.upstream.transport_sockets import TransportSockets

Kind = HttpCheck | TcpCheck | GrpcCheck


def check(kind: Kind, **fields: object) -> HealthCheck:
    """A health check that is in no hurry."""
    plain = {
        "timeout": 5.0,
        "interval": 10.0,
        "unhealthy_threshold": 2,
        "healthy_threshold": 2,
        "no_traffic_interval": 60.0,
        "no_traffic_healthy_interval": 60.0,
        "unhealthy_interval": 10.0,
        "unhealthy_edge_interval": 10.0,
        "healthy_edge_interval": 10.0,
    }
    return HealthCheck(kind=kind, **{**plain, **fields})  # type: ignore[arg-type]


class TargetRig:
    """`target` is one host of cluster `c`; `cluster` are fields of that, `checks` of its health check, `host` of the
    host.
    """

    def __init__(
        self,
        kind: Kind,
        address: Address,
        *,
        reuse_connection: bool = True,
        cluster: Mapping[str, Any] = MappingProxyType({}),
        checks: Mapping[str, Any] = MappingProxyType({}),
        **host: object,
    ) -> None:
        self.stats = MemoryStats()
        self.background = Background()
        health_check = check(kind, reuse_connection=reuse_connection, **checks)
        config = Cluster("c", "STATIC", health_check=health_check, **cluster)
        assert config.health_check is not None
        edits: tuple[Mutation, ...] = () if isinstance(kind, TcpCheck) else kind.edits
        means = Means(
            config,
            config.health_check,
            TransportSockets(config, self.stats),
            self.background,
            HealthCheckStats(self.stats, "c"),
            Codecs(config, self.stats),
            compile_request_edits(edits),
        )
        self.target = Target(means, Host(0, address, **host))  # type: ignore[arg-type, var-annotated]

    def counted(self) -> dict[str, int]:
        """Every counter that is not 0."""
        return {name: word.value for name, word in self.stats.words.items() if word.value}
