"""What a part of the configuration says about itself (`config.core.v3.Metadata`), for logs and for whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.config.common import Metadata

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {"envoy.config.core.v3.Metadata": ("filter_metadata",)}


def compile_metadata(message: Any, context: Context) -> Metadata:
    """By namespace; {} for a message that is not set."""
    return {name: context.struct(message.filter_metadata[name]) for name in sorted(message.filter_metadata)}
