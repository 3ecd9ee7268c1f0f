"""Compiled active health checks (`config.core.v3.HealthCheck`). Data only. Durations in seconds."""

from __future__ import annotations

import msgspec

from proxy.config.common import Address, StringMatcher
from proxy.config.header_mutation import Mutation

Statuses = tuple[tuple[int, int], ...]
"""Ranges of HTTP statuses, each without its end (`type.v3.Int64Range`)."""


class HttpCheck(msgspec.Struct, frozen=True, tag="HTTP"):
    """`HttpHealthCheck`. The response's body must have `receive` in it, one piece behind the other, within its first
    `response_buffer_size` bytes (0: wherever). Another status than an `expected` one is a failure at once, but for a
    `retriable` one, which counts against `unhealthy_threshold`.
    """

    path: str
    host: str = ""
    method: str = "GET"
    send: bytes = b""
    receive: tuple[bytes, ...] = ()
    response_buffer_size: int = 1024
    edits: tuple[Mutation, ...] = ()
    expected: Statuses = ((200, 201),)
    retriable: Statuses = ()
    http2: bool = False
    service_name: StringMatcher | None = None


class TcpCheck(msgspec.Struct, frozen=True, tag="TCP"):
    """`TcpHealthCheck`. Without `receive` a connection is all that is wanted."""

    send: bytes = b""
    receive: tuple[bytes, ...] = ()


class GrpcCheck(msgspec.Struct, frozen=True, tag="GRPC"):
    """`GrpcHealthCheck`: `grpc.health.v1.Health/Check` of the service called `service`."""

    service: str = ""
    authority: str = ""
    edits: tuple[Mutation, ...] = ()


class HealthCheck(msgspec.Struct, frozen=True):
    """How the hosts of a cluster are checked; the intervals that were left out are what they are by default.

    `event_logs` are paths of files. `alpn` is offered in TLS instead of what the cluster says. `socket_match` is the
    metadata that chooses the transport socket in the place of the host's, "" for none (a Struct as JSON).
    """

    kind: HttpCheck | TcpCheck | GrpcCheck
    timeout: float
    interval: float
    unhealthy_threshold: int
    healthy_threshold: int
    no_traffic_interval: float
    no_traffic_healthy_interval: float
    unhealthy_interval: float
    unhealthy_edge_interval: float
    healthy_edge_interval: float
    initial_jitter: float = 0.0
    interval_jitter: float = 0.0
    interval_jitter_percent: int = 0
    reuse_connection: bool = True
    event_logs: tuple[str, ...] = ()
    always_log_failures: bool = False
    always_log_success: bool = False
    alpn: tuple[str, ...] = ()
    socket_match: str = ""


class EndpointCheck(msgspec.Struct, frozen=True, gc=False):
    """`Endpoint.HealthCheckConfig`: where, and under which name, a host is checked, if that is not where it serves;
    `disabled`: it is not checked at all.
    """

    address: Address | None = None
    port: int = 0
    hostname: str = ""
    disabled: bool = False
