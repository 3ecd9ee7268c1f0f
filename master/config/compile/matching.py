"""Matcher trees: `xds.type.matcher.v3.Matcher` with its inputs and its ways to compare."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from master.config import any_types
from master.config.compile.metadata_match import compile_value_matcher
from master.config.walk import unpack
from proxy.config.common import StringMatcher
from proxy.config.matching import Input, Matcher, OnMatch, Predicate, RangeMatch
from proxy.matching.inputs import HEADER, INPUTS, METADATA, NETWORK, QUERY_PARAMETER
from proxy.net.cidr import ranges_from_proto

if TYPE_CHECKING:
    from master.config.compile.context import Context

XDS = "xds.type.matcher.v3"
IP_TREE = f"{XDS}.IPMatcher"
IP = "envoy.extensions.matching.input_matchers.ip.v3.Ip"
METADATA_MATCHER = "envoy.extensions.matching.input_matchers.metadata.v3.Metadata"
SKIP = "envoy.extensions.filters.common.matcher.action.v3.SkipFilter"

FIELDS: dict[str, tuple[str, ...]] = {
    f"{XDS}.Matcher": ("matcher_list", "matcher_tree", "on_no_match"),
    f"{XDS}.Matcher.OnMatch": ("matcher", "action"),
    f"{XDS}.Matcher.MatcherList": ("matchers",),
    f"{XDS}.Matcher.MatcherList.FieldMatcher": ("predicate", "on_match"),
    f"{XDS}.Matcher.MatcherList.Predicate": ("single_predicate", "or_matcher", "and_matcher", "not_matcher"),
    f"{XDS}.Matcher.MatcherList.Predicate.SinglePredicate": ("input", "value_match", "custom_match"),
    f"{XDS}.Matcher.MatcherList.Predicate.PredicateList": ("predicate",),
    f"{XDS}.Matcher.MatcherTree": ("input", "exact_match_map", "prefix_match_map", "custom_match"),
    f"{XDS}.Matcher.MatcherTree.MatchMap": ("map",),
    f"{XDS}.StringMatcher": ("exact", "prefix", "suffix", "contains", "safe_regex", "ignore_case"),
    f"{XDS}.RegexMatcher": ("regex", "google_re2"),
    IP_TREE: ("range_matchers",),
    f"{IP_TREE}.IPRangeMatcher": ("ranges", "on_match", "exclusive"),
    IP: ("cidr_ranges",),
    METADATA_MATCHER: ("value", "invert"),
    "xds.core.v3.TypedExtensionConfig": ("typed_config",),
    **dict.fromkeys(INPUTS, ()),
    HEADER: ("header_name",),
    QUERY_PARAMETER: ("query_param",),
    METADATA: ("filter", "path"),
    f"{METADATA}.PathSegment": ("key",),
    f"{NETWORK}.FilterStateInput": ("key",),
    SKIP: (),
}

CompileAction = Callable[[Any, "Context"], tuple[int, ...]]
"""The routes of an action, which is the message of an extension, or None; what is no action is reported."""


class Owner(NamedTuple):
    """Whose tree it is (`name`), what that may look at, and how its actions are compiled."""

    name: str
    inputs: Collection[str]
    action: CompileAction


def compile_route_matcher(message: Any, context: Context, action: CompileAction) -> Matcher:
    """The `Matcher` of a virtual host, which may look at headers alone, as in Envoy."""
    return _Compiler(Owner("a virtual host", (HEADER,), action)).matcher(message, context)


def compile_filter_matcher(message: Any, context: Context, *, per_route: bool) -> Matcher:
    """The `Matcher` of an HTTP filter. It may look at whatever is known of the request when it comes to the filter,
    that of a route at headers alone: with anything else Envoy skips the filter whatever the request.
    """
    inputs = (HEADER,) if per_route else INPUTS
    return _Compiler(Owner("a route's filter" if per_route else "an HTTP filter", inputs, _skip)).matcher(
        message, context
    )


def _skip(message: Any, context: Context) -> tuple[int, ...]:
    name = message.DESCRIPTOR.full_name if message is not None else ""
    if message is not None and name != SKIP and context.path not in context.unsupported:
        context.error((), f"{name} is no action of an HTTP filter's matcher", SKIP)
    return ()


class _Compiler:
    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def matcher(self, message: Any, context: Context) -> Matcher:
        otherwise = None
        if message.HasField("on_no_match"):
            otherwise = self._on_match(message.on_no_match, context.at("on_no_match"))
        if not message.HasField("matcher_tree"):
            here = context.at("matcher_list", "matchers")
            fields = (self._field(one, here.at(at)) for at, one in enumerate(message.matcher_list.matchers))
            return Matcher(fields=tuple(fields), otherwise=otherwise)
        tree, here = message.matcher_tree, context.at("matcher_tree")
        kind = tree.WhichOneof("tree_type")
        looks_at = self._input(tree.input, here.at("input"))
        if looks_at.kind == METADATA:
            here.error(("input",), "a map has no place for a value of metadata", "a list with a Metadata matcher")
        if kind == "custom_match":
            ranges = self._ranges(tree.custom_match, here.at("custom_match", "typed_config"))
            return Matcher(input=looks_at, ranges=ranges, otherwise=otherwise)
        branches = getattr(tree, kind).map if kind is not None else {}
        return Matcher(
            input=looks_at,
            map={key: self._on_match(branches[key], here.at(kind, "map", key)) for key in sorted(branches)},
            by_prefix=kind == "prefix_match_map",
            otherwise=otherwise,
        )

    def _ranges(self, message: Any, context: Context) -> tuple[RangeMatch, ...]:
        tree = _extension(message, context, (IP_TREE,), "no tree of ours is")
        here = context.at("range_matchers")
        return tuple(
            RangeMatch(
                ranges_from_proto(one.ranges, here.at(at, "ranges")),
                self._on_match(one.on_match, here.at(at, "on_match")),
                one.exclusive,
            )
            for at, one in enumerate(tree.range_matchers if tree is not None else ())
        )

    def _field(self, message: Any, context: Context) -> tuple[Predicate, OnMatch]:
        predicate = self._predicate(message.predicate, context.at("predicate"))
        return predicate, self._on_match(message.on_match, context.at("on_match"))

    def _on_match(self, message: Any, context: Context) -> OnMatch:
        if message.HasField("matcher"):
            return OnMatch(matcher=self.matcher(message.matcher, context.at("matcher")))
        here = context.at("action", "typed_config")
        return OnMatch(routes=self._owner.action(unpack(message.action.typed_config), here))

    def _predicate(self, message: Any, context: Context) -> Predicate:
        match message.WhichOneof("match_type"):
            case "or_matcher":
                return Predicate("or", of=self._predicates(message.or_matcher, context.at("or_matcher")))
            case "and_matcher":
                return Predicate("and", of=self._predicates(message.and_matcher, context.at("and_matcher")))
            case "not_matcher":
                return Predicate("not", of=(self._predicate(message.not_matcher, context.at("not_matcher")),))
        return self._single(message.single_predicate, context.at("single_predicate"))

    def _predicates(self, message: Any, context: Context) -> tuple[Predicate, ...]:
        here = context.at("predicate")
        return tuple(self._predicate(one, here.at(index)) for index, one in enumerate(message.predicate))

    def _single(self, message: Any, context: Context) -> Predicate:
        looks_at = self._input(message.input, context.at("input"))
        here = context.at("custom_match", "typed_config")
        custom = _extension(message.custom_match, here, (IP, METADATA_MATCHER), "nothing of ours compares as")
        is_metadata = custom is not None and custom.DESCRIPTOR.full_name == METADATA_MATCHER
        if looks_at.kind and is_metadata != (looks_at.kind == METADATA):
            context.error(
                ("input",), "a value of metadata needs a Metadata matcher, which compares nothing else", METADATA
            )
        if is_metadata:
            value = compile_value_matcher(custom.value, here.at("value"))
            return Predicate("single", looks_at, value=value, invert=custom.invert)
        if custom is not None:
            return Predicate("single", looks_at, ranges=ranges_from_proto(custom.cidr_ranges, here.at("cidr_ranges")))
        string = StringMatcher("exact", "")
        if message.HasField("value_match"):
            string = context.string_matcher(message.value_match, "value_match")
        return Predicate("single", looks_at, string)

    def _input(self, message: Any, context: Context) -> Input:
        """Another input is reported here, or as unsupported."""
        here, owner = context.at("typed_config"), self._owner
        value = _extension(message, here, owner.inputs, f"the matcher of {owner.name} cannot look at")
        if value is None:
            return Input("")
        kind = value.DESCRIPTOR.full_name
        if kind == HEADER:
            return Input(kind, value.header_name.lower())
        if kind == QUERY_PARAMETER:
            return Input(kind, value.query_param)
        if kind == METADATA:
            return Input(kind, value.filter, tuple(segment.key for segment in value.path))
        return Input(kind, getattr(value, "key", ""))


def _extension(message: Any, context: Context, known: Collection[str], what: str) -> Any:
    """The message in a `TypedExtensionConfig`, if it is one of `known`; what is not is reported, here or as
    unsupported.
    """
    value: Any = unpack(message.typed_config)
    name = any_types.split_url(message.typed_config.type_url) or ""
    if name in known:
        return value
    if value is not None and context.path not in context.unsupported:
        context.error((), f"{what} {name}", " or ".join(sorted(known)))
    return None
