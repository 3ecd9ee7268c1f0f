"""What led to an action, in words."""

from __future__ import annotations

from proxy.config.common import StringMatcher
from proxy.config.matching import Input, Matcher, OnMatch, Predicate, RangeMatch
from proxy.matching.inputs import HEADER, NETWORK
from proxy.matching.tree import compile_tree
from proxy.matching.words import NOTHING_ELSE, how
from tests.unit.route.requests import request

X = Input(HEADER, "x")
IS_ONE = Predicate("single", X, StringMatcher("exact", "one"))
IN_RANGE = Matcher(input=X, ranges=(RangeMatch(("10.0.0.0/8",), OnMatch()),))
TREE = Matcher(
    fields=((Predicate("not", of=(IS_ONE,)), OnMatch(matcher=IN_RANGE)), (IS_ONE, OnMatch())), otherwise=OnMatch()
)


def told(value: str) -> str:
    leaf = compile_tree(TREE, lambda leaf: leaf)(request(headers=(("x", value),)))
    assert leaf is not None
    return how(TREE, leaf)


def test_the_way_to_the_action_that_was_found() -> None:
    assert told("one") == "header x is 'one'"
    assert told("10.1.2.3") == "not (header x is 'one'), header x is in 10.0.0.0/8"
    assert told("two") == NOTHING_ELSE


def test_what_has_no_name() -> None:
    matcher = Matcher(input=Input(f"{NETWORK}.SourceIPInput"), map={"fd0": OnMatch()}, by_prefix=True)
    assert how(matcher, matcher.map["fd0"]) == "source address begins with 'fd0'"
