"""What a part of the configuration says about itself (`config.core.v3.Metadata`), for logs and for whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from proxy.config.cluster import HostMetadata
from proxy.config.common import Metadata
from proxy.config.lb_subsets import Labels
from proxy.route import labels as route_labels
from proxy.route.labels import LB, canonical

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {"envoy.config.core.v3.Metadata": ("filter_metadata",)}


def compile_metadata(message: Any, context: Context) -> Metadata:
    """By namespace; {} for a message that is not set."""
    return {name: context.struct(message.filter_metadata[name]) for name in sorted(message.filter_metadata)}


def compile_host_metadata(message: Any) -> HostMetadata:
    """The same of a host."""
    structs = message.filter_metadata
    return tuple((name, canonical(json_format.MessageToDict(structs[name]))) for name in sorted(structs))


def compile_labels(message: Any) -> Labels:
    """Those of a `Metadata` message that load balancing looks at: what it says under `envoy.lb`."""
    return labels_of(message.filter_metadata[LB]) if LB in message.filter_metadata else ()


def labels_of(struct: Any) -> Labels:
    """The keys of a Struct, and their values."""
    return route_labels.labels_of(json_format.MessageToDict(struct))
