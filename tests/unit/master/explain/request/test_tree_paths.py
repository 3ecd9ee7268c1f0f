"""The ways to routes of matcher trees lead to the routes that were compiled, number by number."""

from __future__ import annotations

import json

from master.explain.request.place import Places
from master.explain.request.tree_paths import routes_of
from proxy.filters.network.hcm_config import Config
from tests.kit.config import compiled, plugin_config
from tests.unit.matching.test_tree import INPUT, action, in_turn, single, text

HOST = (
    "static_resources", "listeners", 0, "filter_chains", 0, "filters", 0, "typed_config", "route_config",
    "virtual_hosts", 0,
)  # fmt: skip


def test_each_route_has_its_way() -> None:
    inner = in_turn((single("exact: a"), action("list", kind="RouteList")), more=f"on_no_match: {action('inner')}")
    branches = f"{{b: {action('b')}, a: {{matcher: {inner}}}, '': {action('empty')}}}"
    tree = f"{{matcher_tree: {{{INPUT}, prefix_match_map: {{map: {branches}}}}}, on_no_match: {action('other')}}}"
    config = compiled(text(tree))
    manager = plugin_config(config.listeners[0].filter_chains[0].filters[0], Config)
    assert isinstance(manager, Config)
    (host,) = manager.route_config.virtual_hosts
    places = Places(json.loads(config.source))
    ways = list(routes_of(places.value((*HOST, "matcher")), (*HOST, "matcher")))
    assert [places.value(way).get("name", "") for way in ways] == [route.name for route in host.routes]
    assert {route.name for route in host.routes} == {"", "list", "inner", "b", "empty", "other"}
