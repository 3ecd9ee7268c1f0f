"""Where the values of a YAML text stand: a second pass, run only when there is something to report."""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml
from yaml._yaml import CParser

from master.config.nodes import Node
from master.config.source import Source

_NODES = frozenset({yaml.ScalarEvent, yaml.AliasEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent})
_COLLECTION_ENDS = frozenset({yaml.MappingEndEvent, yaml.SequenceEndEvent})
_ENDS = frozenset({yaml.DocumentEndEvent, yaml.StreamEndEvent})


@dataclasses.dataclass(slots=True)
class _Frame:
    """An open collection; in a mapping, `key` is the event of the key whose value comes next."""

    node: Node
    is_mapping: bool
    key: Any = None


def compose(source: Source) -> Node:
    """The tree of positions of the first document of a text that `yaml_source` has accepted."""
    root = Node(0, 0, [])
    anchors: dict[str, Node] = {}
    stack: list[_Frame] = []
    parser: Any = CParser(source.text)
    while type(event := parser.get_event()) not in _ENDS:
        if type(event) in _COLLECTION_ENDS:
            stack.pop()
        if type(event) not in _NODES:
            continue
        frame = stack[-1] if stack else None
        if frame and frame.is_mapping and frame.key is None:
            frame.key = event
            continue
        mark = (frame.key if frame and frame.key else event).start_mark
        is_alias = type(event) is yaml.AliasEvent
        node = Node(mark.line, mark.column, anchors[event.anchor].children if is_alias else [])
        if event.anchor and not is_alias:
            anchors[event.anchor] = node
        if frame is None:
            root = node
        else:
            name = getattr(frame.key, "value", "") if frame.is_mapping else len(frame.node.children)
            frame.node.children.append((name, node))
            frame.key = None
        if type(event) in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
            stack.append(_Frame(node, type(event) is yaml.MappingStartEvent))
    return root
