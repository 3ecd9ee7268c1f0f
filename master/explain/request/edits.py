"""The edits of a route, of requests and responses, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from master.explain.request.answer import Edit
from master.explain.request.paths import Paths
from master.explain.request.place import Path, Place, Places
from proxy.config.header_mutation import Mutation
from proxy.config.route import ClusterAction, RedirectAction, Route, RouteConfiguration
from proxy.explain.routing import Routing
from proxy.explain.trial import Trial
from proxy.route.finish import ATTEMPT_COUNT, mutation_levels

Direction = Literal["request", "response"]

_ACTIONS = {
    "APPEND_IF_EXISTS_OR_ADD": "append",
    "ADD_IF_ABSENT": "add if absent",
    "OVERWRITE_IF_EXISTS_OR_ADD": "set",
    "OVERWRITE_IF_EXISTS": "set if there",
}

_HOST = ("host_rewrite_literal", "host_rewrite_header", "host_rewrite_path_regex", "auto_host_rewrite")
_PATH = ("prefix_rewrite", "regex_rewrite", "path_rewrite_policy")


def edits(trial: Trial, config: RouteConfiguration, routing: Routing, places: Places, paths: Paths) -> tuple[Edit, ...]:
    """Those of the route of `routing`, which is one of the configuration."""
    return (
        *_mutations_of_all("request", config, routing, places, paths),
        *_rewrites(trial, routing, places, paths),
        *_mutations_of_all("response", config, routing, places, paths),
    )


def _mutations_of_all(
    direction: Direction, config: RouteConfiguration, routing: Routing, places: Places, paths: Paths
) -> Iterator[Edit]:
    assert routing.entry is not None
    assert routing.chosen is not None
    host, route, share = routing.entry.virtual_host, routing.entry.route, routing.chosen.share
    forwards = isinstance(route.action, ClusterAction)
    if direction == "response" or forwards:
        counts = host.request_attempt_count if direction == "request" else host.response_attempt_count and forwards
        if counts:
            field = "include_request_attempt_count" if direction == "request" else "include_attempt_count_in_response"
            yield Edit(
                direction, "virtual host", f"set {ATTEMPT_COUNT.decode()}: (attempts)", places.of(*paths.host, field)
            )
        if share is not None:
            yield from _mutations(direction, "weighted cluster", share.header_mutations, places, paths.share)
            if direction == "request" and share.host:
                at = places.of(*paths.share, "host_rewrite_literal")
                yield Edit(direction, "weighted cluster", f"host becomes {share.host}", at)
        for level in mutation_levels(config, host, route):
            name, path = _level(level, paths)
            yield from _mutations(direction, name, level.header_mutations, places, path)


def _level(level: object, paths: Paths) -> tuple[str, Path]:
    if isinstance(level, RouteConfiguration):
        return "route configuration", paths.routes
    return ("route", paths.route) if isinstance(level, Route) else ("virtual host", paths.host)


def _mutations(direction: Direction, level: str, both: object, places: Places, at: Path) -> Iterator[Edit]:
    mutations: tuple[Mutation, ...] = getattr(both, direction)
    removed = added = 0
    for mutation in mutations:
        name = mutation.name.decode()
        if mutation.action == "REMOVE":
            place = places.of(*at, f"{direction}_headers_to_remove", removed)
            removed += 1
            yield Edit(direction, level, f"remove {name}", place)
        else:
            place = places.of(*at, f"{direction}_headers_to_add", added)
            added += 1
            yield Edit(direction, level, f"{_ACTIONS[mutation.action]} {name}: {mutation.value}", place)


def _rewrites(trial: Trial, routing: Routing, places: Places, paths: Paths) -> Iterator[Edit]:
    assert routing.entry is not None
    action = routing.entry.route.action
    if isinstance(action, ClusterAction):
        if action.host_rewrite is not None:
            yield Edit("request", "route", f"host {_host(action)}", _first(places, paths.action, _HOST))
        if action.path_rewrite is not None:
            yield Edit("request", "route", _path(trial), _first(places, paths.action, _PATH))
    elif isinstance(action, RedirectAction) and action.path_rewrite is not None:
        yield Edit("request", "route", "path is rewritten", _first(places, (*paths.route, "redirect"), _PATH))


def _path(trial: Trial) -> str:
    if trial.at_router is None or trial.upstream is None:
        return "path is rewritten"
    before, after = trial.at_router.path.decode("latin-1"), trial.upstream.path.decode("latin-1")
    return f"path {before} → {after}" if before != after else f"path {before} stays: the rewrite finds nothing in it"


def _host(action: ClusterAction) -> str:
    rewrite = action.host_rewrite
    assert rewrite is not None
    return {
        "literal": f"becomes {rewrite.value}",
        "header": f"becomes what header {rewrite.value} says",
        "path_regex": "is made of the path",
        "auto": "becomes the name of the host that is picked",
    }[rewrite.kind]


def _first(places: Places, at: Path, fields: tuple[str, ...]) -> Place:
    return places.first(*((*at, field) for field in fields))
