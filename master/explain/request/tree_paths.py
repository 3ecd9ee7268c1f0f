"""The ways to the routes of a matcher tree (`VirtualHost.matcher`), in the order in which they are compiled
(`master/config/compile/matching.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from master.explain.request.place import Path

_MAPS = ("exact_match_map", "prefix_match_map")


def routes_of(tree: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """`tree` is a `Matcher` as JSON in proto spelling, which stands at `path`."""
    if "on_no_match" in tree:
        yield from _routes_of_action(tree["on_no_match"], (*path, "on_no_match"))
    if "matcher_tree" not in tree:
        for index, one in enumerate(tree.get("matcher_list", {}).get("matchers", ())):
            yield from _routes_of_action(
                one.get("on_match", {}), (*path, "matcher_list", "matchers", index, "on_match")
            )
        return
    for kind in _MAPS:
        branches = tree["matcher_tree"].get(kind, {}).get("map", {})
        for key in sorted(branches):
            yield from _routes_of_action(branches[key], (*path, "matcher_tree", kind, "map", key))


def _routes_of_action(on_match: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Of an `OnMatch`: another tree, a `Route`, or a `RouteList`."""
    if "matcher" in on_match:
        yield from routes_of(on_match["matcher"], (*path, "matcher"))
        return
    action, here = on_match.get("action", {}).get("typed_config", {}), (*path, "action", "typed_config")
    if str(action.get("@type", "")).endswith(".RouteList"):
        for index in range(len(action.get("routes", ()))):
            yield (*here, "routes", index)
    else:
        yield here
