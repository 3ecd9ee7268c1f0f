"""RE2's rewriting: matches from left to right, groups, empty matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.route.substitution import compile_substitution, substitution_fault


@pytest.mark.parametrize(
    ("pattern", "replacement", "text", "expected"),
    [
        ("a", "b", b"banana", b"bbnbnb"),
        ("^a", "b", b"aaa", b"baa"),
        ("a$", "b", b"aaa", b"aab"),
        ("(a)(b)?", r"<\0|\1|\2>", b"aba", b"<ab|a|b><a|a|>"),
        ("b*", "X", b"abc", b"XaXcX"),
        ("m*", "-", b"/emm", b"-/-e-"),
        ("x", r"\\", b"axb", rb"a\b"),
        ("x", "y", b"", b""),
        ("", "-", b"ab", b"-a-b-"),
        ("[\\xe4]", "a", "ä".encode("latin-1"), b"a"),
    ],
)
def test_all_matches_give_way(pattern: str, replacement: str, text: bytes, expected: bytes) -> None:
    assert substitution_fault(pattern, replacement) == ""
    assert compile_substitution(pattern, replacement)(text) == expected


@pytest.mark.parametrize(
    ("pattern", "replacement", "word"),
    [("a", r"\1", "no group"), ("(a)", r"\2", "has 1"), ("a", "\\", "no reference"), ("a", r"x\y", "no reference")],
)
def test_what_refers_to_nothing(pattern: str, replacement: str, word: str) -> None:
    assert word in substitution_fault(pattern, replacement)


@given(st.text("ab/", max_size=12))
def test_what_does_not_match_stays(text: str) -> None:
    assert compile_substitution("c+", "-")(text.encode()) == text.encode()
    assert compile_substitution("a|b|/", r"\0")(text.encode()) == text.encode()
