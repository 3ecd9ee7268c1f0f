"""Collects the findings of one compilation and knows where in the source the present message stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from master.config.compile import (
    access_log,
    data_source,
    dns_cache,
    matching,
    metadata_match,
    plain_value,
    plugins,
    route,
    route_match,
)
from master.config.compile.regex import regex_fault
from master.config.compile.secrets import Secrets
from master.config.finding import Finding, Kind
from master.config.suggest import nearest
from master.config.walk import Path
from proxy.config.access_log import AccessLog
from proxy.config.bootstrap import Node
from proxy.config.common import HeaderMatcher, PluginConfig, StringMatcher
from proxy.config.dns import MACHINE, DnsResolver
from proxy.config.dns_cache import DnsCache
from proxy.config.matching import Matcher
from proxy.config.metadata import MetadataMatcher
from proxy.config.route import RouteConfiguration

DEFAULT_BUFFER_LIMIT = 1024 * 1024
"""Bytes; Envoy's default for listeners and clusters."""

MAX_SECONDS = (2**63 - 1) // 10**9
"""Envoy counts nanoseconds in 64 bits, and refuses longer durations."""


@dataclasses.dataclass(frozen=True)
class Context:
    """Implements `proxy.config.context.CompileContext`. `findings` is shared by all contexts of a compilation.

    `unsupported` are the paths of set fields that are not implemented: what only follows from their absence is no
    fault of the configuration, and is not reported again. `any_cluster`: names of clusters are taken as they are.
    `to_come` are directories of the proxy's own that are made when it starts. `files`, which is shared too, has the
    SHA-256 of each file that a `DataSource` named. `secrets` are those that TLS contexts may ask for by name.
    `local_cluster` is the one whose hosts are proxies like this one, "" for none.
    `dns_resolver` is whom clusters ask that name nobody; `dns_caches`, shared too, are those that were named so far.
    """

    clusters: frozenset[str] = frozenset()
    unsupported: frozenset[Path] = frozenset()
    path: Path = ()
    findings: list[Finding] = dataclasses.field(default_factory=list)
    any_cluster: bool = False
    to_come: frozenset[str] = frozenset()
    node: Node = dataclasses.field(default_factory=Node)
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    secrets: Secrets = dataclasses.field(default_factory=Secrets)
    local_cluster: str = ""
    dns_resolver: DnsResolver = MACHINE
    dns_caches: dict[str, DnsCache] = dataclasses.field(default_factory=dict)

    def at(self, *path: str | int) -> Context:
        # As `dataclasses.replace`, in a fifth of the time: there are several places for each of 100,000 hosts.
        there = object.__new__(Context)
        there.__dict__.update(self.__dict__, path=self.path + path)
        return there

    def will_exist(self, directory: str) -> bool:
        return directory in self.to_come

    def incomplete(self) -> bool:
        """Whether an unsupported field is set in the message itself (not further down)."""
        return any(path[:-1] == self.path for path in self.unsupported)

    def faulty(self, *path: str | int) -> bool:
        """Whether anything is reported at this place, or below."""
        place = self.path + path
        return any(finding.path[: len(place)] == place for finding in self.findings)

    def error(
        self, path: Path, message: str, expected: str = "", *, kind: Kind = "constraint", suggestion: str = ""
    ) -> None:
        self.findings.append(Finding(kind, self.path + path, message, expected, suggestion))

    def duration(self, value: Any, *path: str | int) -> float:
        seconds = float(value.seconds + value.nanos / 1e9)
        if not 0 <= seconds < MAX_SECONDS:
            self.error(path, f"duration of {seconds:g}s is out of range", "0s or more, below 292 years")
        return seconds

    def buffer_limit(self, message: Any) -> int:
        """`per_connection_buffer_limit_bytes` of a listener or cluster. Envoy's 0, no limit, is not to be had."""
        if not message.HasField("per_connection_buffer_limit_bytes"):
            return DEFAULT_BUFFER_LIMIT
        limit = int(message.per_connection_buffer_limit_bytes.value)
        if limit == 0:
            self.error(("per_connection_buffer_limit_bytes",), "buffers without a limit are not supported", "1 or more")
        return limit

    def regex(self, value: Any, *path: str | int) -> str:
        pattern = str(value.regex)
        if fault := regex_fault(pattern):
            self.error((*path, "regex"), fault, "RE2 syntax")
        return pattern

    def require_cluster(self, name: str, *path: str | int) -> None:
        if self.any_cluster or name in self.clusters:
            return
        self.error(
            path,
            f"unknown cluster {name!r}",
            "the name of a cluster in static_resources.clusters",
            kind="reference",
            suggestion=nearest(name, sorted(self.clusters)),
        )

    def data_source(self, value: Any, *path: str | int, limit: int | None = None) -> bytes:
        return data_source.read(value, self.at(*path), limit)

    def header_matcher(self, value: Any) -> HeaderMatcher:
        return route_match.compile_header_matcher(value, self)

    def string_matcher(self, value: Any, *path: str | int) -> StringMatcher:
        return route_match.compile_string_matcher(value, self.at(*path))

    def metadata_matcher(self, value: Any) -> MetadataMatcher:
        return metadata_match.compile_metadata_matcher(value, self)

    def filter_matcher(self, value: Any, *path: str | int, per_route: bool = False) -> Matcher:
        return matching.compile_filter_matcher(value, self.at(*path), per_route=per_route)

    def access_logs(self, values: Iterable[Any]) -> tuple[AccessLog, ...]:
        return access_log.compile_access_logs(values, self)

    def extensions(self, values: Iterable[Any], table: Mapping[str, str], what: str) -> tuple[PluginConfig, ...]:
        return plugins.compile_extensions(values, self, table, what)

    def plugin(self, name: str, value: Any, table: Mapping[str, str], what: str) -> PluginConfig | None:
        return plugins.compile_plugin(name, value, self, table, what)

    def dns_cache(self, value: Any, *path: str | int) -> DnsCache:
        return dns_cache.compile_dns_cache(value, self.at(*path))

    def plain_value(self, value: Any, *path: str | int) -> Any:
        return plain_value.read(value, self.at(*path))

    def struct(self, value: Any) -> dict[str, Any]:
        return plain_value.struct(value)

    def http_filters(self, values: Iterable[Any]) -> tuple[PluginConfig, ...]:
        return plugins.compile_http_filters(values, self)

    def typed_per_filter_config(self, values: Mapping[str, Any]) -> dict[str, PluginConfig]:
        return plugins.compile_per_filter_config(values, self)

    def route_configuration(self, value: Any) -> RouteConfiguration:
        return route.compile_route_configuration(value, self)
