"""`envoy.filters.http.set_metadata`: dynamic metadata that the configuration says."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.filters.context import FilterContext
from proxy.http.exchange import Exchange

PACKAGE = "envoy.extensions.filters.http.set_metadata.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.Config": ("metadata_namespace", "value", "metadata"),
    f"{PACKAGE}.Metadata": ("metadata_namespace", "allow_overwrite", "value"),
}


class Entry(msgspec.Struct, frozen=True):
    """`Metadata`. Unless `allow_overwrite`, a namespace that holds something already stays as it is."""

    namespace: str
    value: dict[str, Any]
    allow_overwrite: bool = False


class SetMetadata:
    """Each entry in turn, before the filters behind. `http.<prefix>.set_metadata.overwrite_denied` counts those that
    found their namespace taken.
    """

    terminal = False

    class Config(msgspec.Struct, frozen=True):
        """`Config`; the entry of its deprecated fields comes first."""

        entries: tuple[Entry, ...] = ()

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `Config` message."""
        entries = [
            Entry(entry.metadata_namespace, context.struct(entry.value), entry.allow_overwrite)
            for index, entry in enumerate(message.metadata)
            if _has_value(entry, context.at("metadata", index))
        ]
        if message.HasField("value"):
            if not message.metadata_namespace:
                context.error(("value",), "metadata without a namespace", "metadata_namespace")
            entries.insert(0, Entry(message.metadata_namespace, context.struct(message.value), allow_overwrite=True))
        elif message.metadata_namespace:
            context.error(("metadata_namespace",), "a namespace without a value", "value")
        return cls.Config(tuple(entries))

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self.name = name
        self._entries = config.entries
        self._denied = context.stats.counter(f"{context.stat_prefix}set_metadata.overwrite_denied")

    def on_request_headers(self, exchange: Exchange) -> None:
        info = exchange.info
        for entry in self._entries:
            taken = info.dynamic_metadata is not None and entry.namespace in info.dynamic_metadata
            if taken and not entry.allow_overwrite:
                self._denied.inc()
            else:
                info.merge_dynamic_metadata(entry.namespace, entry.value)


def _has_value(entry: Any, context: CompileContext) -> bool:
    """An entry with neither value sets empty typed metadata in Envoy, which nothing can read."""
    if not entry.HasField("value") and not entry.HasField("typed_value"):
        context.error((), f"metadata {entry.metadata_namespace!r} has no value", "value")
    return bool(entry.HasField("value"))
