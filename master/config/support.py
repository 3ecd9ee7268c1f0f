"""Which fields of Envoy's API are implemented: the union of the `FIELDS` of every file that reads protos."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping

from master.config import compile as bootstrap
from master.config.compile import address, cluster, endpoints, listener, plugins, route
from proxy import registry
from proxy.filters.http import HTTP_FILTERS, HTTP_ROUTE_CONFIGS
from proxy.filters.network import NETWORK_FILTERS

TABLES = (NETWORK_FILTERS, HTTP_FILTERS, HTTP_ROUTE_CONFIGS)


@functools.cache
def supported() -> dict[str, set[str]]:
    """Message full name → the names of its supported fields.

    Where only some values of an enum are, there is one `field=VALUE` for each of them.
    """
    union: dict[str, set[str]] = {}
    for fields in _all_fields():
        for message, names in fields.items():
            union.setdefault(message, set()).update(names)
    return union


def _all_fields() -> Iterator[Mapping[str, tuple[str, ...]]]:
    """A plug-in's `FIELDS` stand in the file of its `from_proto`."""
    for module in (bootstrap, address, cluster, endpoints, listener, plugins, route):
        yield module.FIELDS
    for table in TABLES:
        for type_url in table:
            plugin = registry.load(table, type_url)
            yield sys.modules[plugin.from_proto.__module__].FIELDS
