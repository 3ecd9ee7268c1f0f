"""HTTP filters of a connection manager, and their per-route configuration, made of what was compiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from proxy import registry
from proxy.config.common import PluginConfig
from proxy.config.route import ClusterAction, RouteConfiguration
from proxy.filters.context import FilterContext
from proxy.filters.http import HTTP_FILTERS, HTTP_ROUTE_CONFIGS

PER_ROUTE_TREE = "envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute"


class Overrides(NamedTuple):
    """Per-route configurations by the identity of their `PluginConfig`: the route table, which lives as long as the
    connection manager does, holds the object. `trees` are those that say whether a filter runs, `configs` the filters'
    own, as their class's `prepare` makes them where it has one.
    """

    configs: dict[int, Any]
    trees: dict[int, Any]


def build_filter(plugin: PluginConfig, context: FilterContext) -> Any:
    """The HTTP filter, which a class may leave to its `build`: it is then not the class's own instance."""
    filter_class = registry.load(HTTP_FILTERS, plugin.type_url)
    build = getattr(filter_class, "build", filter_class)
    return build(plugin.name, decode(plugin, filter_class.Config), context)


def decode(plugin: PluginConfig, config_type: Any) -> Any:
    """The `Config` of a plug-in."""
    return msgspec.msgpack.decode(plugin.config, type=config_type)


def decode_overrides(routes: RouteConfiguration, names: frozenset[str]) -> Overrides:
    """What `routes` say of the filters called `names`, each decoded with the class that its type URL names."""
    found = Overrides({}, {})
    for overrides in _override_maps(routes):
        for name, plugin in overrides.items():
            if name in names:
                config_class = registry.load(HTTP_ROUTE_CONFIGS, plugin.type_url)
                override = decode(plugin, config_class.Config)
                prepare = getattr(config_class, "prepare", None)
                kept = found.trees if plugin.type_url == PER_ROUTE_TREE else found.configs
                kept[id(plugin)] = override if prepare is None else prepare(override)
    return found


def _override_maps(routes: RouteConfiguration) -> Iterator[dict[str, PluginConfig]]:
    yield routes.typed_per_filter_config
    for virtual_host in routes.virtual_hosts:
        yield virtual_host.typed_per_filter_config
        for route in virtual_host.routes:
            yield route.typed_per_filter_config
            if isinstance(route.action, ClusterAction):
                for share in route.action.weighted:
                    yield share.typed_per_filter_config
