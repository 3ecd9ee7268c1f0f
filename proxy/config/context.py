"""What a plug-in's `from_proto` may ask of the compiler (`master/config/compile/context.py` implements it).

Plug-ins read protobuf messages by attribute access alone, so that the data plane imports no protobuf.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from proxy.config.access_log import AccessLog
from proxy.config.bootstrap import Node
from proxy.config.common import HeaderMatcher, PluginConfig, StringMatcher
from proxy.config.dns_cache import DnsCache
from proxy.config.matching import Matcher
from proxy.config.metadata import MetadataMatcher
from proxy.config.route import RouteConfiguration


class CompileContext(Protocol):
    """Compiles the parts of one message, and knows where that message stands in the source.

    Nothing here raises for a bad configuration: faults are collected and something harmless is returned, so that one
    run names every fault. Whoever compiles throws the result away if there was one.
    """

    @property
    def node(self) -> Node:
        """Who we are."""
        ...

    def at(self, *path: str | int) -> CompileContext:
        """The context of a message below this one: `context.at("filters", 0)`."""
        ...

    def error(self, path: tuple[str | int, ...], message: str, expected: str = "", *, suggestion: str = "") -> None:
        """Reports a fault of the value at `path`, counted from this context's message. `suggestion` is the nearest
        valid value.
        """
        ...

    def will_exist(self, directory: str) -> bool:
        """Whether `directory` is one of the proxy's own that is made when it starts, as systemd's `LogsDirectory`."""
        ...

    def duration(self, value: Any, *path: str | int) -> float:
        """The `google.protobuf.Duration` that stands at `path`, in seconds; a negative one is reported."""
        ...

    def regex(self, value: Any, *path: str | int) -> str:
        """The pattern of the `type.matcher.v3.RegexMatcher` at `path`; one that RE2 refuses is reported."""
        ...

    def dns_cache(self, value: Any, *path: str | int) -> DnsCache:
        """The `extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig` at `path`."""
        ...

    def require_cluster(self, name: str, *path: str | int) -> None:
        """Reports `name`, which stands at `path`, unless there is a cluster of that name."""
        ...

    def data_source(self, value: Any, *path: str | int, limit: int | None = None) -> bytes:
        """The content of the `config.core.v3.DataSource` at `path`, read now; a source that cannot be read, or has more
        than `limit` bytes, is reported.
        """
        ...

    def header_matcher(self, value: Any) -> HeaderMatcher:
        """Compiles a `HeaderMatcher` message; this context stands for it."""
        ...

    def string_matcher(self, value: Any, *path: str | int) -> StringMatcher:
        """Compiles the `type.matcher.v3.StringMatcher` at `path`."""
        ...

    def metadata_matcher(self, value: Any) -> MetadataMatcher:
        """Compiles a `MetadataMatcher` message; this context stands for it."""
        ...

    def filter_matcher(self, value: Any, *path: str | int, per_route: bool = False) -> Matcher:
        """Compiles the `xds.type.matcher.v3.Matcher` at `path`, which says which requests skip an HTTP filter, on a
        route of its own if it is `per_route`.
        """
        ...

    def access_logs(self, values: Iterable[Any]) -> tuple[AccessLog, ...]:
        """Compiles a list of `AccessLog` messages; this context stands for the list."""
        ...

    def extensions(self, values: Iterable[Any], table: Mapping[str, str], what: str) -> tuple[PluginConfig, ...]:
        """Compiles a list of `TypedExtensionConfig` messages, plug-ins of `table`; this context stands for the list."""
        ...

    def plugin(self, name: str, value: Any, table: Mapping[str, str], what: str) -> PluginConfig | None:
        """Compiles the `Any` for which this context stands, a plug-in of `table`; None if it is none, which is
        reported.
        """
        ...

    def plain_value(self, value: Any, *path: str | int) -> Any:
        """What the `google.protobuf.Any` at `path` holds, as plain Python: the dictionary of a `Struct`, the text of a
        `StringValue`, the bytes of a `BytesValue`; None if it is empty. Another type is reported.
        """
        ...

    def struct(self, value: Any) -> dict[str, Any]:
        """A `google.protobuf.Struct` as plain Python; whole numbers are integers."""
        ...

    def http_filters(self, values: Iterable[Any]) -> tuple[PluginConfig, ...]:
        """Compiles a chain of `HttpFilter` messages; this context stands for their list."""
        ...

    def typed_per_filter_config(self, values: Mapping[str, Any]) -> dict[str, PluginConfig]:
        """Compiles per-route filter configuration (filter name → `Any`); this context stands for the map."""
        ...

    def route_configuration(self, value: Any) -> RouteConfiguration:
        """Compiles a `RouteConfiguration` message; this context stands for it."""
        ...
