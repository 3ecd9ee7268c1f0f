"""The HTTP filters that a request passes."""

from __future__ import annotations

from collections.abc import Sequence

from master.explain.request.answer import Filter
from master.explain.request.paths import Paths
from master.explain.request.place import Path, Places
from proxy.config.common import PluginConfig
from proxy.explain.trial import Trial, wrapped
from proxy.filters.network.hcm_config import Config
from proxy.matching.words import how

NOT_RUN = "not run here: what it does to this request is not known"

NO_MATCHER = "it has no matcher"
NOT_SKIPPED = "its matcher does not skip it"


def filters(trial: Trial, config: Config, places: Places, paths: Paths) -> tuple[Filter, ...]:
    """Of the connection manager, or of the upgrade that the request asks for."""
    plugins: Sequence[PluginConfig] = config.http_filters
    at: Path = (*paths.manager, "http_filters")
    for index, upgrade in enumerate(config.upgrades):
        if upgrade.type == trial.upgrade and upgrade.filters:
            plugins, at = upgrade.filters, (*paths.manager, "upgrade_configs", index, "filters")
    levels = [level for level in (paths.routes, paths.host, paths.route, paths.share) if level]
    found = []
    for index, plugin in enumerate(plugins):
        overrides = [places.of(*level, "typed_per_filter_config", plugin.name) for level in levels]
        overrides = [place for place in overrides if place.path]
        note = _note(plugin.name, trial)
        if overrides and places.value((*overrides[-1].path, "disabled")):
            note = "disabled for this route"
        kind = wrapped(plugin).type_url.rpartition(".")[2]
        place = places.index(at, index, len(plugins))
        found.append(Filter(plugin.name, kind, places.of(*place), note, tuple(overrides)))
    return tuple(found)


def _note(name: str, trial: Trial) -> str:
    decision = trial.decided.get(name)
    if decision is not None and decision.leaf is not None:
        return f"skipped: {how(decision.matcher, decision.leaf) if decision.matcher is not None else NO_MATCHER}"
    notes = (NOT_SKIPPED if decision is not None else "", NOT_RUN if name in trial.skipped else "")
    return ", ".join(filter(None, notes))
