"""Regexes: one and many."""

from __future__ import annotations

from unittest import mock

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from proxy.route import regex
from proxy.route.regex import compile_regex, compile_regexes, literal_prefix

PIECES = [
    "^",
    "$",
    "a",
    "b",
    "/",
    r"\.",
    r"\-",
    r"\d",
    ".",
    ".*",
    "(a|b)",
    "(?:b|)",
    "[ab]",
    "b+",
    "a?",
    "a{2}",
    "|",
    "é",
    "(?i)",
]
PATTERNS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join).filter(lambda pattern: valid(pattern))
VALUES = st.text(alphabet="abAB/.-1é", max_size=6).map(str.encode)


def options() -> re2.Options:
    found = re2.Options()
    found.encoding = re2.Options.Encoding.LATIN1
    found.log_errors = False
    return found


def valid(pattern: str) -> bool:
    try:
        re2.compile(pattern.encode(), options())
    except re2.error:
        return False
    return True


@given(st.lists(PATTERNS, min_size=1, max_size=8), st.lists(VALUES, min_size=1, max_size=8))
def test_many_at_once_are_each_of_them(patterns: list[str], values: list[bytes]) -> None:
    matching = compile_regexes(patterns)
    for value in values:
        expected = [re2.compile(pattern.encode(), options()).fullmatch(value) is not None for pattern in patterns]
        assert [compile_regex(pattern)(value) for pattern in patterns] == expected
        assert matching(value) == [place for place, matches in enumerate(expected) if matches]


@given(PATTERNS, VALUES)
def test_what_matches_begins_with_the_literal_prefix(pattern: str, value: bytes) -> None:
    if compile_regex(pattern)(value):
        assert value.startswith(literal_prefix(pattern))


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("/api/v[0-9]+/.*", b"/api/v"),
        (r"^/a\.b/(x|y)", b"/a.b/"),
        ("/ab*", b"/a"),
        ("/ab{0}", b"/a"),
        ("/é+", "/é".encode()[:-1]),
        (r"/\d", b"/"),
        ("/plain", b"/plain"),
        ("/a|/b", b""),
        (r"/\Q(\E|x", b""),
        ("/[(]|x", b""),
        ("(?i)/a", b""),
        (".*", b""),
        ("", b""),
    ],
)
def test_literal_prefixes(pattern: str, prefix: bytes) -> None:
    assert literal_prefix(pattern) == prefix


@pytest.mark.parametrize("memory", [40_000, 300_000])
def test_what_does_not_fit_one_automaton_is_split(memory: int) -> None:
    """RE2 would say that nothing matches."""
    patterns = [rf"/.*{number}(a|b){{1,9}}[^/]+" for number in range(40)]
    with mock.patch.object(regex, "_MAX_MEMORY", memory):
        matching = compile_regexes(patterns)
    assert matching(b"/x/7abab.") == [7]
    assert matching(b"/x/37abab.") == [7, 37]
    assert matching(b"/x") == []
