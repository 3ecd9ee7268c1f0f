"""Compiled `config.core.v3.GrpcService`: a service that we call ourselves. It is a cluster (`envoy_grpc`)."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.context import CompileContext

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.core.v3.GrpcService": ("envoy_grpc", "initial_metadata"),
    "envoy.config.core.v3.GrpcService.EnvoyGrpc": ("cluster_name", "authority"),
    "envoy.config.core.v3.HeaderValue": ("key", "value"),
}


class GrpcService(msgspec.Struct, frozen=True):
    """`authority` is "" for the cluster's name; `metadata` goes with each call."""

    cluster: str
    authority: str = ""
    metadata: tuple[tuple[bytes, bytes], ...] = ()


def grpc_service_from_proto(message: Any, context: CompileContext) -> GrpcService:
    """Compiles a `GrpcService`, for which `context` stands."""
    service = message.envoy_grpc
    if message.HasField("envoy_grpc"):
        context.require_cluster(service.cluster_name, "envoy_grpc", "cluster_name")
    return GrpcService(
        service.cluster_name,
        service.authority,
        tuple((pair.key.lower().encode(), pair.value.encode()) for pair in message.initial_metadata),
    )
