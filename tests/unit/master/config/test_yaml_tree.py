"""The builder's limits, at their bounds. What it builds is shown by test_yaml_source.py."""

from __future__ import annotations

from typing import Any

import pytest
from yaml._yaml import CParser

from master.config import yaml_tree
from master.config.yaml_tree import Builder, RejectedError


def build(text: str) -> Any:
    return Builder("e", lambda text, tag, plain: text).document(CParser(text))


def test_aliased_values_are_counted_as_often_as_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_tree, "MAX_ALIASED_VALUES", 6)
    assert build("[&x [1, 2], *x, *x]") == [["1", "2"]] * 3
    with pytest.raises(RejectedError):
        build("[&x [1, 2], *x, *x, *x]")
    with pytest.raises(RejectedError):
        build("[&x [1], &y [*x, *x], *y]")


def test_levels_below_an_alias_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_tree, "MAX_DEPTH", 3)
    assert build("[&x [1], [*x]]") == [["1"], [["1"]]]
    with pytest.raises(RejectedError):
        build("[&x [1], [[*x]]]")
    with pytest.raises(RejectedError):
        build("[&x [[1]], [*x]]")


def test_an_ignored_key_hides_its_value_but_not_its_anchors() -> None:
    assert build("{!ignore a: &x [1], b: *x}") == {"b": ["1"]}


@pytest.mark.parametrize("rest", ["---\n", "---\n---\n", "...\n", "--- # nothing\n"])
def test_empty_documents_may_follow(rest: str) -> None:
    assert build("a: 1\n" + rest) == {"a": "1"}


@pytest.mark.parametrize("rest", ["---\n{}\n", "---\n---\nb", "--- ''\n"])
def test_others_may_not(rest: str) -> None:
    with pytest.raises(RejectedError) as raised:
        build("a: 1\n" + rest)
    assert raised.value.line >= 1


def test_the_stream_without_a_document() -> None:
    assert build("") is None
    assert build("# only a comment\n") is None
