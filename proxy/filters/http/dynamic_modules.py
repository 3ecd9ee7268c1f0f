"""`envoy.filters.http.dynamic_modules`: filters that users write in Python. See docs/python-filters.md.

The dynamic module is a Python module, the filter a class or an async function in it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.config.context import CompileContext
from proxy.filters.context import FilterContext
from proxy.filters.http import python_loader

PACKAGE = "envoy.extensions.filters.http.dynamic_modules.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.DynamicModuleFilter": ("dynamic_module_config", "filter_name", "filter_config"),
    f"{PACKAGE}.DynamicModuleFilterPerRoute": ("dynamic_module_config", "per_route_config_name", "filter_config"),
    "envoy.extensions.dynamic_modules.v3.DynamicModuleConfig": ("name",),
}


class ModuleConfig(msgspec.Struct, frozen=True):
    """Which filter, and its configuration as plain values: the filter's own type decodes them in each worker."""

    module: str
    filter_name: str
    value: Any = None


class DynamicModule:
    """What stands in the chain is the user's own object: it costs nothing more than a filter of ours."""

    terminal = False
    Config = ModuleConfig

    @staticmethod
    def from_proto(message: Any, context: CompileContext) -> ModuleConfig:
        """Compiles a `DynamicModuleFilter`: imports the module and makes the filter once, to see whether it can be."""
        return _compile(message, message.filter_name, "filter_name", context)

    @staticmethod
    def build(name: str, config: ModuleConfig, context: FilterContext) -> Any:
        """The filter. Raises `LoadError`, although the configuration was checked, if the code has changed since."""
        loaded = python_loader.load(config.module, config.filter_name)
        return loaded.create(name, python_loader.decode(loaded.config_type, config.value))


class DynamicModulePerRoute:
    """`per_route_config_name` is the name of the filter's class; its `RouteConfig` or `Config` is the type."""

    Config = ModuleConfig

    @staticmethod
    def from_proto(message: Any, context: CompileContext) -> ModuleConfig:
        """Compiles a `DynamicModuleFilterPerRoute`."""
        return _compile(message, message.per_route_config_name, "per_route_config_name", context)

    @staticmethod
    def prepare(config: ModuleConfig) -> Any:
        """The value that `Exchange.filter_config` gives."""
        loaded = python_loader.load(config.module, config.filter_name)
        return python_loader.decode(loaded.route_type, config.value)


def _compile(message: Any, filter_name: str, name_field: str, context: CompileContext) -> ModuleConfig:
    module = message.dynamic_module_config.name
    value = context.plain_value(message.filter_config, "filter_config")
    try:
        loaded = python_loader.load(module, filter_name)
        if name_field == "filter_name":
            loaded.create("", python_loader.decode(loaded.config_type, value))
        else:
            python_loader.decode(loaded.route_type, value)
    except python_loader.LoadError as error:
        if error.what == "module":
            expected = "a module in a directory of --filter-path, or an installed one"
            context.error(("dynamic_module_config", "name"), str(error), expected)
        elif error.what == "filter":
            context.error((name_field,), str(error), "a class with async __call__ or hooks, or an async function")
        else:
            context.error(("filter_config", "value", *error.path), str(error))
    return ModuleConfig(module, filter_name, value)
