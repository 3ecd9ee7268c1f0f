"""Matcher trees (`xds.type.matcher.v3.Matcher`), compiled to closures: from a request to the action that it leads to.

A branch that leads to nothing is left again: what comes next in its list, or a shorter prefix, is tried then, and
`on_no_match` last. A value that is not there matches nothing. Maps are looked up, whatever their size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from proxy.config.matching import Input, Matcher, OnMatch, Predicate
from proxy.matching.addresses import RangeTable
from proxy.matching.inputs import HEADER, Value, compile_input
from proxy.net.cidr import CidrRanges
from proxy.route.matcher import RequestHead, compile_string
from proxy.route.metadata import compile_value
from proxy.route.prefixes import LongestPrefix

T = TypeVar("T")
Find = Callable[[RequestHead], T | None]
Verdict = Callable[[RequestHead], bool]
Action = Callable[[OnMatch], T]
"""Makes what is found of an `OnMatch` that is an action."""


def compile_tree(matcher: Matcher, action: Action[T]) -> Find[T]:
    """What the tree finds for a request; None if it leads to no action."""
    if matcher.input is None:
        found = _by_list(matcher, action)
    elif matcher.ranges:
        found = _by_range(matcher, compile_input(matcher.input), action)
    else:
        found = _by_map(matcher, compile_input(matcher.input), action)
    if matcher.otherwise is None:
        return found
    otherwise = _compile_on_match(matcher.otherwise, action)

    def find(head: RequestHead) -> T | None:
        result = found(head)
        return otherwise(head) if result is None else result

    return find


def headers_of(matcher: Matcher) -> Iterator[str]:
    """The names of all headers that a tree may look at."""
    yield from _name_of(matcher.input)
    for predicate, _ in matcher.fields:
        yield from _headers_of(predicate)
    for on_match in branches_of(matcher):
        if on_match.matcher is not None:
            yield from headers_of(on_match.matcher)


def branches_of(matcher: Matcher) -> Iterator[OnMatch]:
    """Where it may lead to."""
    yield from (on_match for _, on_match in matcher.fields)
    yield from matcher.map.values()
    yield from (one.on_match for one in matcher.ranges)
    if matcher.otherwise is not None:
        yield matcher.otherwise


def _headers_of(predicate: Predicate) -> Iterator[str]:
    yield from _name_of(predicate.input)
    for one in predicate.of:
        yield from _headers_of(one)


def _name_of(of: Input | None) -> Iterator[str]:
    if of is not None and of.kind == HEADER:
        yield of.key


def _compile_on_match(on_match: OnMatch, action: Action[T]) -> Find[T]:
    if on_match.matcher is not None:
        return compile_tree(on_match.matcher, action)
    made = action(on_match)
    return lambda head: made


def _by_list(matcher: Matcher, action: Action[T]) -> Find[T]:
    fields = [(_compile_predicate(one), _compile_on_match(on_match, action)) for one, on_match in matcher.fields]

    def find(head: RequestHead) -> T | None:
        for matches, then in fields:
            if matches(head) and (result := then(head)) is not None:
                return result
        return None

    return find


def _by_map(matcher: Matcher, value_of: Value, action: Action[T]) -> Find[T]:
    then = {key.encode(): _compile_on_match(on_match, action) for key, on_match in matcher.map.items()}
    if matcher.by_prefix:
        return _by_prefix(value_of, then)

    def find(head: RequestHead) -> T | None:
        value = value_of(head)
        found = then.get(value) if value is not None else None
        return None if found is None else found(head)

    return find


def _by_prefix(value_of: Value, then: Mapping[bytes, Find[T]]) -> Find[T]:
    """The longest prefix first; with each stand those that are beginnings of it."""
    chains: dict[bytes, tuple[Find[T], ...]] = {}
    for prefix in sorted(then, key=len):
        beginnings = (prefix[:size] for size in range(len(prefix) - 1, -1, -1))
        shorter = next((chains[beginning] for beginning in beginnings if beginning in chains), ())
        chains[prefix] = (then[prefix], *shorter)
    longest = LongestPrefix(chains)

    def find(head: RequestHead) -> T | None:
        value = value_of(head)
        if value is not None:
            for found in longest.find(value) or ():
                if (result := found(head)) is not None:
                    return result
        return None

    return find


def _by_range(matcher: Matcher, value_of: Value, action: Action[T]) -> Find[T]:
    """The smallest range first. A larger one that is exclusive is passed over."""
    compiled = [(one, _compile_on_match(one.on_match, action)) for one in matcher.ranges]
    table = RangeTable((text, (then, one.exclusive)) for one, then in compiled for text in one.ranges)

    def find(head: RequestHead) -> T | None:
        value = value_of(head)
        if value is not None:
            for place, (found, exclusive) in enumerate(table.find(value.decode("latin-1"))):
                if (place == 0 or not exclusive) and (result := found(head)) is not None:
                    return result
        return None

    return find


def _compile_predicate(predicate: Predicate) -> Verdict:
    if predicate.kind == "single":
        return _compile_single(predicate)
    of = [_compile_predicate(one) for one in predicate.of]
    if predicate.kind == "and":
        return lambda head: all(matches(head) for matches in of)
    if predicate.kind == "or":
        return lambda head: any(matches(head) for matches in of)
    (negated,) = of
    return lambda head: not negated(head)


def _compile_single(predicate: Predicate) -> Verdict:
    assert predicate.input is not None
    value_of = compile_input(predicate.input)
    if predicate.value is not None:
        fits, invert = compile_value(predicate.value), predicate.invert
        return lambda head: fits(value_of(head)) != invert
    if predicate.string is not None:
        matches = compile_string(predicate.string)
        return lambda head: (value := value_of(head)) is not None and matches(value)
    ranges = CidrRanges(predicate.ranges)
    return lambda head: (value := value_of(head)) is not None and value.decode("latin-1") in ranges
