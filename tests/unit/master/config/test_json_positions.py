"""The second pass over JSON."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from master.config.json_positions import compose
from master.config.nodes import Node
from master.config.source import Source

TREES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [(name, shape(child)) for name, child in value.items()]
    return [(index, shape(child)) for index, child in enumerate(value)] if isinstance(value, list) else []


def shape_of(node: Node) -> Any:
    return [(name, shape_of(child)) for name, child in node.children]


@given(TREES, st.sampled_from([None, 0, 2]))
def test_the_tree_of_positions_has_the_shape_of_the_value(tree: Any, indent: int | None) -> None:
    text = json.dumps(tree, indent=indent, ensure_ascii=False)
    assert shape_of(compose(Source("e", text, "json"))) == shape(tree)


@given(st.dictionaries(st.text(), st.integers(), min_size=1))
def test_a_position_is_that_of_the_name(tree: dict[str, int]) -> None:
    text = json.dumps(tree, indent=1)
    for (name, node), line in zip(compose(Source("e", text, "json")).children, text.split("\n")[1:], strict=False):
        assert line[node.column :].startswith(json.dumps(name) + ":")
