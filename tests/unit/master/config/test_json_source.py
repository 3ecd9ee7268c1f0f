"""JSON → tree, and the places of its values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.config.json_source import parse
from master.config.source import Source
from master.config.tree import Parsed


def parsed(text: str) -> Parsed:
    return parse(Source("e.json", text, "json"))


@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_json_is_read(tree: dict[str, Any]) -> None:
    assert parsed(json.dumps(tree)) == Parsed(tree, ())


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("{", 1, 2, "Expecting property name"),
        ('{"a": 1,\n "b": }', 2, 7, "Expecting value"),
        ("{} {}", 1, 4, "Extra data"),
        ('{"a" 1}', 1, 6, "Expecting ':'"),
        ("{'a': 1}", 1, 2, "double quotes"),
        ("// x\n{}", 1, 1, "Expecting value"),
        ("", 1, 1, "Expecting value"),
        ("null", 1, 1, "not an object"),
        ("[]", 1, 1, "not an object"),
        ('{"a": NaN}', 1, 1, "NaN is not JSON"),
        ('{"a": ' + "9" * 500 + "}", 1, 1, "500 digits"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", 1, 1, "nested"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", 1, 1, "nested"),
    ],
)
def test_what_is_wrong_has_a_place(text: str, line: int, column: int, words: str) -> None:
    result = parsed(text)
    assert result.root is None
    (finding,) = result.findings
    assert words in finding.message
    assert finding.position is not None
    assert (finding.position.line, finding.position.column) == (line, column)


def test_duplicates_have_paths_and_places() -> None:
    result = parsed('{"a": [{"b": 1,\n  "b": 2}],\n"a": "x:,{"}')
    assert [(one.field_path, one.position and (one.position.line, one.position.column)) for one in result.findings] == [
        ("a[0].b", (2, 3)),
        ("a", (3, 1)),
    ]


@given(st.text(max_size=50) | st.text('{}[]:,"1ae\\ \n', max_size=40))
def test_no_text_raises(text: str) -> None:
    result = parsed(text)
    assert (result.root is None) <= bool(result.findings)
