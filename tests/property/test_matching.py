"""Matcher trees against the plainest way to read one."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.common import StringMatcher
from proxy.config.matching import Input, Matcher, OnMatch, Predicate, RangeMatch
from proxy.config.metadata import ValueMatcher
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo
from proxy.matching.inputs import HEADER, METADATA, NETWORK, QUERY_PARAMETER
from proxy.matching.tree import compile_tree
from tests.unit.route.requests import request

VALUES = st.sampled_from(["", "a", "b", "ab", "abc", "ba"])
ADDRESSES = st.sampled_from(["10.0.0.1", "10.1.2.3", "10.1.2.4", "192.0.2.1", "fd00::1", "fd00::1:0", "none"])
RANGES = st.lists(
    st.sampled_from(
        ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "10.1.2.3/16", "fd00::/8", "fd00::1/128"]
    ),
    min_size=1,
    max_size=2,
).map(tuple)
TEXTS = st.sampled_from(
    [Input(HEADER, "x"), Input(HEADER, "y"), Input(QUERY_PARAMETER, "x"), Input(f"{NETWORK}.FilterStateInput", "x")]
)
PLACES = st.sampled_from([Input(HEADER, "address"), Input(f"{NETWORK}.FilterStateInput", "address")])
NOTED = st.sampled_from([Input(METADATA, "x", ()), Input(METADATA, "x", ("k",)), Input(METADATA, "y", ("k",))])
STRINGS = st.builds(StringMatcher, st.sampled_from(["exact", "prefix", "suffix", "contains"]), VALUES)
WANTED = st.one_of(
    st.builds(lambda string: ValueMatcher("string", string=string), STRINGS),
    st.builds(lambda wanted: ValueMatcher("present", wanted=wanted), st.booleans()),
)
SINGLES = st.one_of(
    st.builds(lambda of, string: Predicate("single", of, string), TEXTS, STRINGS),
    st.builds(lambda of, ranges: Predicate("single", of, ranges=ranges), PLACES, RANGES),
    st.builds(
        lambda of, value, invert: Predicate("single", of, value=value, invert=invert), NOTED, WANTED, st.booleans()
    ),
)
PREDICATES = st.recursive(
    SINGLES,
    lambda inner: st.one_of(
        st.builds(lambda of: Predicate("and", of=tuple(of)), st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda of: Predicate("or", of=tuple(of)), st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda one: Predicate("not", of=(one,)), inner),
    ),
    max_leaves=4,
)
ACTIONS = st.builds(lambda place: OnMatch((place,)), st.integers(0, 99))


def matchers(then: st.SearchStrategy[OnMatch]) -> st.SearchStrategy[Matcher]:
    otherwise = st.none() | then
    return st.one_of(
        st.builds(
            lambda fields, rest: Matcher(fields=tuple(fields), otherwise=rest),
            st.lists(st.tuples(PREDICATES, then), max_size=3),
            otherwise,
        ),
        st.builds(
            lambda of, branches, by_prefix, rest: Matcher((), of, branches, by_prefix, otherwise=rest),
            TEXTS,
            st.dictionaries(VALUES, then, max_size=4),
            st.booleans(),
            otherwise,
        ),
        st.builds(
            lambda of, ranges, rest: Matcher(input=of, ranges=tuple(ranges), otherwise=rest),
            PLACES,
            st.lists(st.builds(RangeMatch, RANGES, then, st.booleans()), min_size=1, max_size=4),
            otherwise,
        ),
    )


NESTED = st.recursive(
    ACTIONS, lambda then: st.builds(lambda inner: OnMatch(matcher=inner), matchers(then)), max_leaves=6
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        (HEADER, "x"): VALUES,
        (HEADER, "y"): VALUES,
        (HEADER, "address"): ADDRESSES,
        (QUERY_PARAMETER, "x"): VALUES,
        (f"{NETWORK}.FilterStateInput", "x"): VALUES,
        (f"{NETWORK}.FilterStateInput", "address"): ADDRESSES,
        (METADATA, "x"): st.dictionaries(st.just("k"), VALUES | st.none()),
    },
)


def asked(facts: dict[tuple[str, str], Any]) -> Request:
    """A request of which `facts` are true."""
    headers = tuple((key, value) for (kind, key), value in facts.items() if kind == HEADER)
    query = facts.get((QUERY_PARAMETER, "x"))
    made = request("/" if query is None else f"/?x={query}", headers=headers)
    made.info = StreamInfo(0.0)
    for (kind, key), value in facts.items():
        if kind == METADATA:
            made.info.set_dynamic_metadata(key, value)
        elif kind.startswith(NETWORK):
            made.info.set_filter_state(key, value)
    return made


def naive(matcher: Matcher, facts: dict[tuple[str, str], Any]) -> int | None:
    """As the documentation of `xds.type.matcher.v3.Matcher` reads."""
    tried: list[OnMatch] = []
    if matcher.input is None:
        tried += [on_match for predicate, on_match in matcher.fields if holds(predicate, facts)]
    elif matcher.ranges:
        sizes = [
            (-ipaddress.ip_network(text, strict=False).prefixlen, at)
            for at, one in enumerate(matcher.ranges)
            for text in one.ranges
            if within(facts.get((matcher.input.kind, matcher.input.key)), text)
        ]
        for place, (_, at) in enumerate(sorted(sizes)):
            if place == 0 or not matcher.ranges[at].exclusive:
                tried.append(matcher.ranges[at].on_match)
    else:
        value = facts.get((matcher.input.kind, matcher.input.key))
        fits = str.startswith if matcher.by_prefix else str.__eq__
        keys = [key for key in matcher.map if value is not None and fits(value, key)]
        tried += [matcher.map[key] for key in sorted(keys, key=len, reverse=True)]
    for on_match in (*tried, matcher.otherwise):
        if on_match is not None:
            result = on_match.routes[0] if on_match.matcher is None else naive(on_match.matcher, facts)
            if result is not None:
                return result
    return None


def within(address: str | None, text: str) -> bool:
    if address is None or address == "none":
        return False
    return ipaddress.ip_address(address) in ipaddress.ip_network(text, strict=False)


def holds(predicate: Predicate, facts: dict[tuple[str, str], Any]) -> bool:
    if predicate.kind != "single":
        of = [holds(one, facts) for one in predicate.of]
        return {"and": all(of), "or": any(of), "not": not of[0]}[predicate.kind]
    assert predicate.input is not None
    value = facts.get((predicate.input.kind, predicate.input.key))
    if predicate.value is not None:
        return wanted(predicate.value, value, predicate.input.path) != predicate.invert
    if predicate.string is not None:
        return value is not None and compares(predicate.string, value)
    return any(within(value, text) for text in predicate.ranges)


def wanted(matcher: ValueMatcher, struct: dict[str, Any] | None, path: tuple[str, ...]) -> bool:
    found = struct is not None and all(key in struct for key in path)
    if matcher.kind == "present":
        return matcher.wanted and found
    value = struct[path[0]] if struct is not None and found and path else None
    assert matcher.string is not None
    return isinstance(value, str) and compares(matcher.string, value)


def compares(string: StringMatcher, value: str) -> bool:
    verdicts = {
        "exact": value == string.value,
        "prefix": value.startswith(string.value),
        "suffix": value.endswith(string.value),
        "contains": string.value in value,
    }
    return verdicts[string.kind]


@given(matchers(NESTED), REQUESTS)
def test_a_tree_finds_what_a_plain_reading_finds(matcher: Matcher, facts: dict[tuple[str, str], Any]) -> None:
    assert compile_tree(matcher, lambda leaf: leaf.routes[0])(asked(facts)) == naive(matcher, facts)
