"""Matcher trees: `xds.type.matcher.v3.Matcher` with its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from master.config import any_types
from master.config.walk import unpack
from proxy.config.common import StringMatcher
from proxy.config.matching import Matcher, OnMatch, Predicate

if TYPE_CHECKING:
    from master.config.compile.context import Context

XDS = "xds.type.matcher.v3"
HEADER = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
"""All that Envoy lets the tree of a virtual host look at."""

FIELDS: dict[str, tuple[str, ...]] = {
    f"{XDS}.Matcher": ("matcher_list", "matcher_tree", "on_no_match"),
    f"{XDS}.Matcher.OnMatch": ("matcher", "action"),
    f"{XDS}.Matcher.MatcherList": ("matchers",),
    f"{XDS}.Matcher.MatcherList.FieldMatcher": ("predicate", "on_match"),
    f"{XDS}.Matcher.MatcherList.Predicate": ("single_predicate", "or_matcher", "and_matcher", "not_matcher"),
    f"{XDS}.Matcher.MatcherList.Predicate.SinglePredicate": ("input", "value_match"),
    f"{XDS}.Matcher.MatcherList.Predicate.PredicateList": ("predicate",),
    f"{XDS}.Matcher.MatcherTree": ("input", "exact_match_map", "prefix_match_map"),
    f"{XDS}.Matcher.MatcherTree.MatchMap": ("map",),
    f"{XDS}.StringMatcher": ("exact", "prefix", "suffix", "contains", "safe_regex", "ignore_case"),
    f"{XDS}.RegexMatcher": ("regex", "google_re2"),
    "xds.core.v3.TypedExtensionConfig": ("typed_config",),
    HEADER: ("header_name",),
}

CompileAction = Callable[[Any, "Context"], tuple[int, ...]]
"""The routes of an action, which is the message of an extension, or None; what is no action is reported."""


def compile_matcher(message: Any, context: Context, action: CompileAction) -> Matcher:
    """A `Matcher`, whose actions `action` compiles."""
    return _Compiler(action).matcher(message, context)


class _Compiler:
    def __init__(self, action: CompileAction) -> None:
        self._action = action

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
        branches = getattr(tree, kind).map if kind in ("exact_match_map", "prefix_match_map") else {}
        return Matcher(
            header=_header(tree.input, here.at("input")),
            map={key: self._on_match(branches[key], here.at(kind, "map", key)) for key in sorted(branches)},
            by_prefix=kind == "prefix_match_map",
            otherwise=otherwise,
        )

    def _field(self, message: Any, context: Context) -> tuple[Predicate, OnMatch]:
        predicate = _predicate(message.predicate, context.at("predicate"))
        return predicate, self._on_match(message.on_match, context.at("on_match"))

    def _on_match(self, message: Any, context: Context) -> OnMatch:
        if message.HasField("matcher"):
            return OnMatch(matcher=self.matcher(message.matcher, context.at("matcher")))
        here = context.at("action", "typed_config")
        return OnMatch(routes=self._action(unpack(message.action.typed_config), here))


def _predicate(message: Any, context: Context) -> Predicate:
    match message.WhichOneof("match_type"):
        case "or_matcher":
            return Predicate("or", of=_predicates(message.or_matcher, context.at("or_matcher")))
        case "and_matcher":
            return Predicate("and", of=_predicates(message.and_matcher, context.at("and_matcher")))
        case "not_matcher":
            return Predicate("not", of=(_predicate(message.not_matcher, context.at("not_matcher")),))
    single, here = message.single_predicate, context.at("single_predicate")
    string = StringMatcher("exact", "")
    if single.HasField("value_match"):
        string = here.string_matcher(single.value_match, "value_match")
    return Predicate("single", _header(single.input, here.at("input")), string)


def _predicates(message: Any, context: Context) -> tuple[Predicate, ...]:
    here = context.at("predicate")
    return tuple(_predicate(one, here.at(index)) for index, one in enumerate(message.predicate))


def _header(message: Any, context: Context) -> str:
    """The name of the header that an input is; another input is reported here, or as unsupported."""
    here = context.at("typed_config")
    value: Any = unpack(message.typed_config)
    name = any_types.split_url(message.typed_config.type_url) or ""
    if name == HEADER:
        return str(value.header_name).lower()
    if value is not None and here.path not in context.unsupported:
        here.error((), f"the tree of a virtual host cannot look at {name}", HEADER)
    return ""
