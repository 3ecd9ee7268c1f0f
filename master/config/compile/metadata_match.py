"""Matchers of dynamic metadata and filter state: `type.matcher.v3.MetadataMatcher`, `FilterStateMatcher`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.config.metadata import FilterStateMatcher, MetadataMatcher, ValueMatcher
from proxy.net.cidr import ranges_from_proto

if TYPE_CHECKING:
    from master.config.compile.context import Context

PACKAGE = "envoy.type.matcher.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.MetadataMatcher": ("filter", "path", "value", "invert"),
    f"{PACKAGE}.MetadataMatcher.PathSegment": ("key",),
    f"{PACKAGE}.ValueMatcher": (
        "null_match",
        "double_match",
        "string_match",
        "bool_match",
        "present_match",
        "list_match",
        "or_match",
    ),
    f"{PACKAGE}.DoubleMatcher": ("range", "exact"),
    f"{PACKAGE}.ListMatcher": ("one_of",),
    f"{PACKAGE}.OrMatcher": ("value_matchers",),
    "envoy.type.v3.DoubleRange": ("start", "end"),
    f"{PACKAGE}.FilterStateMatcher": ("key", "string_match", "address_match"),
    f"{PACKAGE}.AddressMatcher": ("ranges",),
    "xds.core.v3.CidrRange": ("address_prefix", "prefix_len"),
}


def compile_metadata_matcher(message: Any, context: Context) -> MetadataMatcher:
    """A `MetadataMatcher`, of a route or of anything else that looks at metadata."""
    return MetadataMatcher(
        namespace=message.filter,
        path=tuple(segment.key for segment in message.path),
        value=compile_value_matcher(message.value, context.at("value")),
        invert=message.invert,
    )


def compile_value_matcher(message: Any, context: Context) -> ValueMatcher:
    """A `ValueMatcher`."""
    match message.WhichOneof("match_pattern"):
        case "double_match":
            double = message.double_match
            if double.WhichOneof("match_pattern") == "exact":
                return ValueMatcher("double", exact=double.exact)
            return ValueMatcher("double", range=(double.range.start, double.range.end))
        case "string_match":
            return ValueMatcher("string", string=context.string_matcher(message.string_match, "string_match"))
        case "bool_match":
            return ValueMatcher("bool", wanted=message.bool_match)
        case "present_match":
            return ValueMatcher("present", wanted=message.present_match)
        case "list_match":
            return ValueMatcher(
                "list", of=(compile_value_matcher(message.list_match.one_of, context.at("list_match", "one_of")),)
            )
        case "or_match":
            here = context.at("or_match", "value_matchers")
            values = message.or_match.value_matchers
            return ValueMatcher(
                "or", of=tuple(compile_value_matcher(value, here.at(index)) for index, value in enumerate(values))
            )
        case _:
            return ValueMatcher("null")


def compile_filter_state_matcher(message: Any, context: Context) -> FilterStateMatcher:
    """A `FilterStateMatcher`."""
    if message.HasField("address_match"):
        ranges = ranges_from_proto(message.address_match.ranges, context.at("address_match", "ranges"))
        return FilterStateMatcher(message.key, ranges=ranges)
    return FilterStateMatcher(message.key, context.string_matcher(message.string_match, "string_match"))
