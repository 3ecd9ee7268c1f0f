"""The second pass over YAML."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from master.config.source import Source
from master.config.yaml_positions import compose
from tests.unit.master.config.test_json_positions import shape, shape_of

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("abc ", max_size=4),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text("abc", min_size=1), children, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text("abc", min_size=1), TREES), st.booleans())
def test_the_tree_of_positions_has_the_shape_of_the_value(tree: dict[str, Any], flow: bool) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, sort_keys=False)
    root = compose(Source("e", text, "yaml"))
    assert shape_of(root) == shape(tree)
    lines = text.split("\n")
    assert all(lines[node.line][node.column :].lstrip("'\"").startswith(str(name)) for name, node in root.children)


def test_an_alias_stands_where_it_is_used_and_leads_to_what_it_means() -> None:
    root = compose(Source("e", "a: &x {b: 1}\nc: *x\nd: [*x]", "yaml"))
    alias, listed = root.child("c"), root.child("d")
    assert alias
    assert listed
    assert (alias.line, alias.column) == (1, 0)
    inner = alias.child("b")
    assert inner
    assert (inner.line, inner.column) == (0, 7)
    first = listed.child(0)
    assert first
    assert (first.line, first.column) == (2, 4)


def test_only_the_first_document_counts() -> None:
    assert shape_of(compose(Source("e", "a: 1\n---\nb: 2", "yaml"))) == [("a", [])]
