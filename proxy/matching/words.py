"""Why a matcher tree led where it did, in words. It looks at what the compiled tree found, and asks nothing again."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.common import StringMatcher
from proxy.config.matching import Input, Matcher, OnMatch, Predicate
from proxy.config.metadata import ValueMatcher
from proxy.matching.inputs import HEADER, INPUTS, METADATA, NETWORK, QUERY_PARAMETER

NOTHING_ELSE = "nothing else of its matcher applies"

_COMPARES = {
    "exact": "is",
    "prefix": "begins with",
    "suffix": "ends with",
    "contains": "contains",
    "regex": "matches",
}
_SUBJECTS = {
    HEADER: "header",
    QUERY_PARAMETER: "query parameter",
    METADATA: "metadata",
    f"{NETWORK}.FilterStateInput": "filter state",
    f"{NETWORK}.DestinationIPInput": "destination address",
    f"{NETWORK}.DestinationPortInput": "destination port",
    f"{NETWORK}.SourceIPInput": "source address",
    f"{NETWORK}.SourcePortInput": "source port",
    f"{NETWORK}.DirectSourceIPInput": "peer's address",
    f"{NETWORK}.SourceTypeInput": "source type",
    f"{NETWORK}.ServerNameInput": "server name",
}
assert _SUBJECTS.keys() == INPUTS.keys()


def how(matcher: Matcher, leaf: OnMatch) -> str:
    """What holds of a request for which `matcher` found `leaf`, which is one of its own actions (the object itself):
    `header x-a is 'one', query parameter q begins with 'b'`.
    """
    return ", ".join(_way(matcher, leaf) or ())


def _way(matcher: Matcher, leaf: OnMatch) -> tuple[str, ...] | None:
    for step, on_match in _steps(matcher):
        if on_match is leaf:
            return (step,)
        if on_match.matcher is not None and (rest := _way(on_match.matcher, leaf)) is not None:
            return (step, *rest)
    return None


def _steps(matcher: Matcher) -> Iterator[tuple[str, OnMatch]]:
    for predicate, on_match in matcher.fields:
        yield _predicate(predicate), on_match
    if matcher.input is not None:
        subject = _subject(matcher.input)
        compares = "begins with" if matcher.by_prefix else "is"
        for key, on_match in matcher.map.items():
            yield f"{subject} {compares} {key!r}", on_match
        for one in matcher.ranges:
            yield f"{subject} is in {' or '.join(one.ranges)}", one.on_match
    if matcher.otherwise is not None:
        yield NOTHING_ELSE, matcher.otherwise


def _predicate(predicate: Predicate) -> str:
    if predicate.kind == "not":
        return f"not ({_predicate(predicate.of[0])})"
    if predicate.kind != "single":
        return f"({f' {predicate.kind} '.join(map(_predicate, predicate.of))})"
    assert predicate.input is not None
    subject = _subject(predicate.input)
    if predicate.value is not None:
        verdict = f"{subject} {_value(predicate.value)}"
        return f"not ({verdict})" if predicate.invert else verdict
    if predicate.string is not None:
        return f"{subject} {_string(predicate.string)}"
    return f"{subject} is in {' or '.join(predicate.ranges)}"


def _subject(of: Input) -> str:
    return " ".join(filter(None, (_SUBJECTS[of.kind], ".".join((of.key, *of.path)))))


def _string(string: StringMatcher) -> str:
    return f"{_COMPARES[string.kind]} {string.value!r}{' in any case' if string.ignore_case else ''}"


def _value(matcher: ValueMatcher) -> str:
    if matcher.kind == "string" and matcher.string is not None:
        return _string(matcher.string)
    if matcher.kind == "bool":
        return f"is {str(matcher.wanted).lower()}"
    if matcher.kind == "double":
        if matcher.range is None:
            return f"is {matcher.exact:g}"
        start, end = matcher.range
        return f"is in [{start:g}, {end:g})"
    if matcher.kind == "list":
        return f"has an element that {_value(matcher.of[0])}"
    if matcher.kind == "or":
        return " or ".join(map(_value, matcher.of))
    return "is there" if matcher.kind == "present" else "is null"
