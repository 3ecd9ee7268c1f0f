"""Finding a child by name."""

from __future__ import annotations

from master.config.nodes import Node


def test_either_spelling_finds_a_field_and_the_last_of_duplicates_wins() -> None:
    first, second, third = Node(0, 0, []), Node(1, 0, []), Node(2, 0, [])
    node = Node(0, 0, [("connectTimeout", first), ("a_b", first), ("ab", second), ("name", second), ("name", third)])
    assert node.child("connect_timeout") is first
    assert node.child("a_b") is first
    assert node.child("name") is third
    assert node.child("nam") is None
    assert Node(0, 0, [(0, first), (1, second)]).child(1) is second
