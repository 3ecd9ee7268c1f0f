"""`envoy.filters.http.match_delegate`: a filter that runs unless a matcher tree skips it (`ExtensionWithMatcher`)."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import msgspec

from proxy import registry
from proxy.config.common import PluginConfig
from proxy.config.context import CompileContext
from proxy.config.matching import Matcher, OnMatch
from proxy.filters.context import FilterContext
from proxy.filters.http import HTTP_FILTERS
from proxy.filters.http_filters import PER_ROUTE_TREE, build_filter
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import HookFilter, HttpFilter
from proxy.matching.tree import compile_tree

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.common.matching.v3.ExtensionWithMatcher": ("extension_config", "xds_matcher"),
    PER_ROUTE_TREE: ("xds_matcher",),
}


class Decision(NamedTuple):
    """What a matcher found for a request: `leaf` is the `SkipFilter` that it led to, None if the filter runs. No
    `matcher`: there is none, and the filter is skipped, as in Envoy.
    """

    matcher: Matcher | None
    leaf: OnMatch | None


class Tree:
    """A matcher, or none, compiled."""

    __slots__ = ("_find", "_matcher")

    def __init__(self, matcher: Matcher | None) -> None:
        self._matcher = matcher
        self._find = None if matcher is None else compile_tree(matcher, lambda leaf: leaf)

    def decide(self, exchange: Exchange) -> Decision:
        """Of the request as the filters before have left it."""
        if self._find is None:
            return Decision(None, OnMatch())
        request = exchange.request
        request.info = exchange.info
        try:
            return Decision(self._matcher, self._find(request))
        finally:
            request.info = None


class MatchDelegate:
    """The matcher of the route's most specific `typed_per_filter_config` takes the place of the own one. The wrapped
    filter goes by the name of this one, so its own per-route configuration may stand there instead.
    """

    terminal = False

    class Config(msgspec.Struct, frozen=True):
        """`ExtensionWithMatcher`."""

        extension: PluginConfig
        matcher: Matcher | None = None

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles an `ExtensionWithMatcher` message."""
        here = context.at("extension_config", "typed_config")
        extension = here.plugin(
            message.extension_config.name, message.extension_config.typed_config, HTTP_FILTERS, "HTTP filter"
        )
        if extension is None:
            return cls.Config(PluginConfig("", "", msgspec.Raw(b"\xc0")))
        if registry.load(HTTP_FILTERS, extension.type_url).terminal:
            here.error((), f"{extension.type_url} ends a chain of filters: it cannot be skipped", "another filter")
        matcher = (
            context.filter_matcher(message.xds_matcher, "xds_matcher") if message.HasField("xds_matcher") else None
        )
        return cls.Config(extension, matcher)

    @classmethod
    def build(cls, name: str, config: Config, context: FilterContext) -> Self:
        """With the filter that it wraps."""
        return cls(name, config, build_filter(msgspec.structs.replace(config.extension, name=name), context))

    def __init__(self, name: str, config: Config, wrapped: HttpFilter | HookFilter) -> None:
        self.name = name
        self.wrapped = wrapped
        self._own = Tree(config.matcher)

    def decide(self, exchange: Exchange) -> Decision:
        """Whether the filter runs, and why."""
        tree: Tree = exchange.filter_tree(self.name) or self._own
        return tree.decide(exchange)

    def applies(self, exchange: Exchange) -> bool:
        """As `ConditionalFilter.applies`."""
        return self.decide(exchange).leaf is None


class MatchDelegatePerRoute:
    """`ExtensionWithMatcherPerRoute`. Without a matcher nothing is skipped."""

    class Config(msgspec.Struct, frozen=True):
        """Its matcher."""

        matcher: Matcher

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles an `ExtensionWithMatcherPerRoute` message."""
        return cls.Config(context.filter_matcher(message.xds_matcher, "xds_matcher", per_route=True))

    @staticmethod
    def prepare(config: Config) -> Tree:
        """As requests need it."""
        return Tree(config.matcher)
