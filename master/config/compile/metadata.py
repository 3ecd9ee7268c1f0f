"""`config.core.v3.Metadata`, as configuration says it."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from proxy.config.cluster import Metadata
from proxy.route.host_predicates import canonical

FIELDS: dict[str, tuple[str, ...]] = {"envoy.config.core.v3.Metadata": ("filter_metadata",)}


def compile_metadata(message: Any) -> Metadata:
    """A `Metadata` message."""
    structs = message.filter_metadata
    return tuple((name, canonical(json_format.MessageToDict(structs[name]))) for name in sorted(structs))


def compile_labels(message: Any, name: str) -> tuple[tuple[str, str], ...]:
    """The keys of the Struct called `name` of a `Metadata` message, and their values."""
    fields = json_format.MessageToDict(message.filter_metadata[name]) if name in message.filter_metadata else {}
    return tuple((key, canonical(fields[key])) for key in sorted(fields))
