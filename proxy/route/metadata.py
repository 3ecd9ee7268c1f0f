"""Matchers of dynamic metadata and filter state (`type.matcher.v3`), compiled to closures over `StreamInfo`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.config.common import SocketAddress
from proxy.config.metadata import FilterStateMatcher, MetadataMatcher, ValueMatcher
from proxy.http.stream_data import ABSENT, lookup, text
from proxy.http.stream_info import StreamInfo
from proxy.net.cidr import CidrRanges
from proxy.route.matcher import compile_string

Predicate = Callable[[StreamInfo], bool]


def compile_metadata(matcher: MetadataMatcher) -> Predicate:
    """What is not there matches nothing, and everything inverted."""
    namespace, path, invert = matcher.namespace, matcher.path, matcher.invert
    matches = compile_value(matcher.value)
    return lambda info: matches(lookup(info.dynamic_metadata, namespace, path)) != invert


def compile_value(matcher: ValueMatcher) -> Callable[[Any], bool]:
    """A predicate of a JSON value, or of `ABSENT`."""
    match matcher.kind:
        case "null":
            return lambda value: value is None
        case "double":
            return _number(matcher)
        case "string":
            assert matcher.string is not None
            matches = compile_string(matcher.string)
            return lambda value: isinstance(value, str) and matches(value.encode())
        case "bool":
            wanted = matcher.wanted
            return lambda value: value is wanted
        case "present":  # `present_match: false` matches nothing, as in Envoy
            return lambda value: matcher.wanted and value is not ABSENT
        case "list":
            (of,) = map(compile_value, matcher.of)
            return lambda value: isinstance(value, list) and any(map(of, value))
        case "or":
            alternatives = [compile_value(one) for one in matcher.of]
            return lambda value: any(matches(value) for matches in alternatives)


def _number(matcher: ValueMatcher) -> Callable[[Any], bool]:
    exact = matcher.exact
    if exact is not None:
        return lambda value: _is_number(value) and value == exact
    assert matcher.range is not None
    start, end = matcher.range
    return lambda value: _is_number(value) and start <= value < end


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def compile_filter_state(matcher: FilterStateMatcher) -> Predicate:
    """An object that is not there matches nothing."""
    key = matcher.key
    if matcher.string is not None:
        matches = compile_string(matcher.string)
        return lambda info: (
            info.filter_state is not None and key in info.filter_state and matches(text(info.filter_state[key]))
        )
    ranges = CidrRanges(matcher.ranges or ())

    def is_in_range(info: StreamInfo) -> bool:
        found = info.filter_state.get(key) if info.filter_state is not None else None
        return isinstance(found, SocketAddress) and found.host in ranges

    return is_in_range
