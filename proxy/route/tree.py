"""Matcher trees (`xds.type.matcher.v3.Matcher`), compiled to closures: from a request to the routes that may take it.

A branch that leads to nothing is left again: what comes next in its list, or a shorter prefix, is tried then, and
`on_no_match` last. A value that is not there matches nothing. Maps are looked up, whatever their size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from proxy.config.matching import Matcher, OnMatch, Predicate
from proxy.route.matcher import RequestHead, compile_string, lookup
from proxy.route.prefixes import LongestPrefix

T = TypeVar("T")
Find = Callable[[RequestHead], T | None]
Value = Callable[[RequestHead], bytes | None]
Verdict = Callable[[RequestHead], bool]


def compile_tree(matcher: Matcher, action: Callable[[tuple[int, ...]], T]) -> Find[T]:
    """`action` makes what is found of an action."""
    found = _by_map(matcher, action) if matcher.header else _by_list(matcher, action)
    if matcher.otherwise is None:
        return found
    otherwise = _compile_on_match(matcher.otherwise, action)

    def find(head: RequestHead) -> T | None:
        result = found(head)
        return otherwise(head) if result is None else result

    return find


def headers_of(matcher: Matcher) -> Iterator[str]:
    """The names of all headers that a tree may look at."""
    yield matcher.header
    for predicate, _ in matcher.fields:
        yield from _headers_of(predicate)
    for on_match in (*(on_match for _, on_match in matcher.fields), *matcher.map.values(), matcher.otherwise):
        if on_match is not None and on_match.matcher is not None:
            yield from headers_of(on_match.matcher)


def _headers_of(predicate: Predicate) -> Iterator[str]:
    yield predicate.header
    for one in predicate.of:
        yield from _headers_of(one)


def _compile_on_match(on_match: OnMatch, action: Callable[[tuple[int, ...]], T]) -> Find[T]:
    if on_match.matcher is not None:
        return compile_tree(on_match.matcher, action)
    made = action(on_match.routes)
    return lambda head: made


def _by_list(matcher: Matcher, action: Callable[[tuple[int, ...]], T]) -> Find[T]:
    fields = [(_compile_predicate(one), _compile_on_match(on_match, action)) for one, on_match in matcher.fields]

    def find(head: RequestHead) -> T | None:
        for matches, then in fields:
            if matches(head) and (result := then(head)) is not None:
                return result
        return None

    return find


def _by_map(matcher: Matcher, action: Callable[[tuple[int, ...]], T]) -> Find[T]:
    value_of = _value_of(matcher.header)
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


def _compile_predicate(predicate: Predicate) -> Verdict:
    if predicate.kind == "single":
        assert predicate.string is not None
        value_of, matches = _value_of(predicate.header), compile_string(predicate.string)
        return lambda head: (value := value_of(head)) is not None and matches(value)
    of = [_compile_predicate(one) for one in predicate.of]
    if predicate.kind == "and":
        return lambda head: all(matches(head) for matches in of)
    if predicate.kind == "or":
        return lambda head: any(matches(head) for matches in of)
    (negated,) = of
    return lambda head: not negated(head)


def _value_of(header: str) -> Value:
    """All lines of the header as one."""
    find = lookup(header)
    return lambda head: b",".join(values) if (values := find(head)) else None
