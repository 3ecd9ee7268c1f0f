"""Filters and their per-route configuration: `Any` messages that a plug-in's own `from_proto` compiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from master.config import any_types
from master.config.walk import unpack
from proxy import registry
from proxy.config.common import PluginConfig
from proxy.filters.http import HTTP_FILTERS, HTTP_ROUTE_CONFIGS
from proxy.filters.network import NETWORK_FILTERS

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.listener.v3.Filter": ("name", "typed_config"),
    "envoy.config.core.v3.TypedExtensionConfig": ("typed_config",),
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter": ("name", "typed_config"),
}


def compile_network_filters(values: Iterable[Any], context: Context) -> tuple[PluginConfig, ...]:
    """The filters of a filter chain; `context` stands for their list."""
    return _chain(values, context, NETWORK_FILTERS, "network filter")


def compile_http_filters(values: Iterable[Any], context: Context) -> tuple[PluginConfig, ...]:
    """The filters of an HTTP connection manager; `context` stands for their list.

    Envoy takes an empty list and then never answers; we refuse it.
    """
    filters = list(values)
    if not filters:
        context.error((), "no HTTP filters", "a list that ends with envoy.filters.http.router")
    return _chain(filters, context, HTTP_FILTERS, "HTTP filter")


def compile_per_filter_config(values: Mapping[str, Any], context: Context) -> dict[str, PluginConfig]:
    """`typed_per_filter_config`, by the name of the filter that it is for."""
    compiled = {}
    for name in sorted(values):
        plugin = compile_plugin(
            name, values[name], context.at(name), HTTP_ROUTE_CONFIGS, "per-route filter configuration"
        )
        if plugin is not None:
            compiled[name] = plugin
    return compiled


def compile_extensions(
    values: Iterable[Any], context: Context, table: Mapping[str, str], what: str
) -> tuple[PluginConfig, ...]:
    """A list of `TypedExtensionConfig`; `context` stands for it."""
    found = (
        compile_plugin(message.name, message.typed_config, context.at(index, "typed_config"), table, what)
        for index, message in enumerate(values)
    )
    return tuple(plugin for plugin in found if plugin is not None)


def _chain(values: Iterable[Any], context: Context, table: Mapping[str, str], what: str) -> tuple[PluginConfig, ...]:
    """Compiles each filter and holds Envoy's rule: the last filter is a terminal one, and no other is."""
    filters = list(values)
    compiled = []
    for index, message in enumerate(filters):
        here = context.at(index)
        plugin = None
        if message.HasField("typed_config"):
            plugin = compile_plugin(message.name, message.typed_config, here.at("typed_config"), table, what)
        elif not here.incomplete():
            here.error((), f"{what} {message.name!r} has no typed_config", "typed_config", kind="missing_type")
        if plugin is None:
            continue
        compiled.append(plugin)
        terminal = registry.load(table, plugin.type_url).terminal
        last = index == len(filters) - 1
        if terminal and not last:
            here.error((), f"terminal {what} {message.name!r} is not the last of its chain", "the last place")
        elif last and not terminal:
            here.error((), f"the last {what} {message.name!r} is not a terminal one", "a terminal filter")
    return tuple(compiled)


def compile_plugin(name: str, value: Any, context: Context, table: Mapping[str, str], what: str) -> PluginConfig | None:
    """The plug-in of `table` that the `Any` names; None if it names none, which is reported: here, or as unsupported or
    invalid.
    """
    message = unpack(value)
    type_url = any_types.split_url(value.type_url) or ""
    if message is None or type_url not in table:
        if message is not None and context.path not in context.unsupported:
            context.error((), f"no {what} has the type {type_url}", _expected(table), kind="reference")
        return None
    config = registry.load(table, type_url).from_proto(message, context)
    return PluginConfig(name, type_url, msgspec.Raw(msgspec.msgpack.encode(config)))


def _expected(table: Mapping[str, str]) -> str:
    return f"one of {', '.join(sorted(table))}" if table else ""
