"""Collects the findings of one compilation and knows where in the source the present message stands."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from master.config.compile import plugins, route
from master.config.compile.regex import check_regex
from master.config.finding import Finding, Kind
from proxy.config.common import PluginConfig
from proxy.config.route import RouteConfiguration

Path = tuple[str | int, ...]


@dataclasses.dataclass(frozen=True)
class Context:
    """Implements `proxy.config.context.CompileContext`. `findings` is shared by all contexts of a compilation.

    `unsupported` are the paths of set fields that are not implemented: what only follows from their absence is no
    fault of the configuration, and is not reported again.
    """

    clusters: frozenset[str] = frozenset()
    unsupported: frozenset[Path] = frozenset()
    path: Path = ()
    findings: list[Finding] = dataclasses.field(default_factory=list)

    def at(self, *path: str | int) -> Context:
        return dataclasses.replace(self, path=self.path + path)

    def incomplete(self) -> bool:
        """Whether an unsupported field is set in the message itself (not further down)."""
        return any(path[:-1] == self.path for path in self.unsupported)

    def error(
        self, path: Path, message: str, expected: str = "", *, kind: Kind = "constraint", suggestion: str = ""
    ) -> None:
        self.findings.append(Finding(kind, self.path + path, message, expected, suggestion))

    def duration(self, value: Any, *path: str | int) -> float:
        seconds = float(value.seconds + value.nanos / 1e9)
        if seconds < 0:
            self.error(path, f"negative duration {seconds:g}s", "a duration of at least 0s")
        return seconds

    def regex(self, value: Any, *path: str | int) -> str:
        pattern = str(value.regex)
        if fault := check_regex(pattern):
            self.error((*path, "regex"), f"invalid regex {pattern!r}: {fault}", "RE2 syntax")
        return pattern

    def require_cluster(self, name: str, *path: str | int) -> None:
        if name in self.clusters:
            return
        near = difflib.get_close_matches(name, self.clusters, 1)
        self.error(
            path,
            f"unknown cluster {name!r}",
            "the name of a cluster in static_resources.clusters",
            kind="reference",
            suggestion=near[0] if near else "",
        )

    def http_filters(self, values: Iterable[Any]) -> tuple[PluginConfig, ...]:
        return plugins.compile_http_filters(values, self)

    def typed_per_filter_config(self, values: Mapping[str, Any]) -> dict[str, PluginConfig]:
        return plugins.compile_per_filter_config(values, self)

    def route_configuration(self, value: Any) -> RouteConfiguration:
        return route.compile_route_configuration(value, self)
