"""The whole compiled configuration: what one worker needs to serve, and nothing that came as protobuf."""

from __future__ import annotations

import msgspec

from proxy.config.cluster import Cluster, Endpoints
from proxy.config.common import Address
from proxy.config.listener import Listener
from proxy.config.tls import Secret


class Node(msgspec.Struct, frozen=True):
    """`config.core.v3.Node`, the parts that logs and control planes see."""

    id: str = ""
    cluster: str = ""
    region: str = ""
    zone: str = ""
    sub_zone: str = ""


class CompiledConfig(msgspec.Struct, frozen=True):
    """One version of the configuration. Travels as MessagePack in a sealed memfd (`encode`, `decode`).

    `endpoints` is what static discovery gave at compile time; DNS clusters start empty and are filled by the
    controller. `source` is the bootstrap as Envoy's JSON (protobuf JSON mapping), for `/config_dump`. `secrets` are
    those that came from files: listeners and clusters have what is in them already, and know which part that is
    (`SecretKeys`).
    """

    version: int
    node: Node
    listeners: tuple[Listener, ...]
    clusters: tuple[Cluster, ...]
    endpoints: Endpoints
    admin_address: Address | None = None
    source: str = "{}"
    secrets: tuple[Secret, ...] = ()


def encode(config: CompiledConfig) -> bytes:
    """`config` as MessagePack."""
    return msgspec.msgpack.encode(config)


def decode(data: bytes | memoryview) -> CompiledConfig:
    """The inverse of `encode`; raises `msgspec.ValidationError` on anything else."""
    return msgspec.msgpack.decode(data, type=CompiledConfig)
