"""YAML → tree: structure, limits, and what is wrong with a text. Scalars are held to Envoy in tests/parity."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.config.source import Source
from master.config.tree import Parsed
from master.config.yaml_source import parse, scalar


def parsed(text: str) -> Parsed:
    return parse(Source("e.yaml", text, "yaml"))


def root(text: str) -> Any:
    result = parsed(text)
    assert result.findings == ()
    return result.root


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1", {"a": 1}),
        ("a: {b: [1, {c: ~}]}", {"a": {"b": [1, {"c": None}]}}),
        ("a:\n- b\n- - c\nd:", {"a": ["b", ["c"]], "d": None}),
        ("{1: a, ~: b, on: c}", {"1": "a", "~": "b", "on": "c"}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}),
        ("&k a: 1\nb: *k", {"a": 1, "b": "a"}),
        ("a: &k b\n*k : 1", {"a": "b", "b": 1}),
        ("a: &k on\n*k : 1", {"a": True, "on": 1}),
        ("a: 1\n<<: {b: 2}", {"a": 1, "<<": {"b": 2}}),
        ("!ignore a: &x 1\nb: *x", {"b": 1}),
        ("%YAML 1.2\n---\na: 1\n...\n", {"a": 1}),
        ("a: 1\n---\n", {"a": 1}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ('a: "x\\ty"', {"a": "x\ty"}),
    ],
)
def test_structure(text: str, expected: dict[str, Any]) -> None:
    assert root(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: [1,\n2}", 2, 2, "expected ',' or ']'"),
        ("a: b: c", 1, 5, "mapping values are not allowed"),
        ("a:\n\tb: 1", 2, 1, "cannot start any token"),
        ("a: *x", 1, 4, 'unknown anchor "x"'),
        ("a: &x [*x]", 1, 8, 'unknown anchor "x"'),
        ("a: \x01", 1, 4, "control characters are not allowed"),
        ("ä: ö\nü: \x01", 2, 4, "control characters are not allowed"),
        ("a: \udcff", 1, 4, "not UTF-8"),
        ("[a]: 1", 1, 1, "key that is a collection"),
        ("a: 1\n---\nb: 2", 2, 1, "second document"),
        ("", 1, 1, "not a mapping"),
        ("word", 1, 1, "not a mapping"),
        ("- a", 1, 1, "not a mapping"),
    ],
)
def test_what_is_wrong_has_a_place(text: str, line: int, column: int, words: str) -> None:
    result = parsed(text)
    assert result.root is None
    (finding,) = result.findings
    assert finding.kind == "syntax"
    assert words in finding.message
    assert finding.position is not None
    assert (finding.position.file, finding.position.line, finding.position.column) == ("e.yaml", line, column)


def test_every_duplicate_key_is_reported_with_its_path() -> None:
    result = parsed("a: 1\nb:\n- c: 1\n- c: 1\n  c: 2\na: 2\n")
    assert [(finding.field_path, finding.position and finding.position.line) for finding in result.findings] == [
        ("b[1].c", 5),
        ("a", 6),
    ]
    assert {finding.kind for finding in result.findings} == {"duplicate"}


def test_depth_is_limited_as_in_protobuf() -> None:
    assert root("a: " + "[" * 99 + "]" * 99)
    assert "nested" in parsed("a: " + "[" * 100 + "]" * 100).findings[0].message
    assert "nested" in parsed("a: &x " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 50 + "*x" + "]" * 50).findings[0].message
    assert "nest" in parsed("a: " + "[" * 100_000).findings[0].message  # PyYAML 6.0.4 has a limit of its own


def test_a_billion_laughs_end_early() -> None:
    text = "a0: &a0 [" + "x," * 10 + "]\n"
    text += "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 10}]\n" for n in range(1, 12))
    (finding,) = parsed(text).findings
    assert "aliases stand for more than" in finding.message


def test_numbers_have_the_range_of_envoys_conversion() -> None:
    assert scalar("2147483647", None, plain=True) == 2147483647
    assert scalar("2147483648", None, plain=True) == "2147483648"
    assert scalar("0x80000000", None, plain=True) == "2147483648"
    assert scalar("9" * 30, None, plain=True) == "9" * 30


TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.text(st.characters(exclude_categories=["C"])),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text("abc", min_size=1), children, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abc", min_size=1), TREES))
def test_what_json_says_yaml_says(tree: dict[str, Any]) -> None:
    import json

    assert root(json.dumps(tree, ensure_ascii=False)) == tree


@given(st.text(max_size=60) | st.text("{}[]:,-&*!|>'\"%#\n\t ab1", max_size=40))
def test_no_text_raises(text: str) -> None:
    result = parsed(text)
    assert (result.root is None) <= bool(result.findings)
