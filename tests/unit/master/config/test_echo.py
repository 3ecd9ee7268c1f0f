"""Findings that only repeat another."""

from __future__ import annotations

from master.config.echo import without_echoes
from master.config.finding import Finding


def test_echoes_are_dropped_and_others_stay() -> None:
    causes = [Finding("unknown_field", ("a", 0, "nmae"), "", suggestion="name"), Finding("type", ("b", "c"), "")]
    paths = [
        ("a", 0, "name"),
        ("a", 0),
        ("a", 0, "other"),
        ("a", 1, "name"),
        ("b",),
        ("b", "c"),
        ("b", "c", "d"),
        ("b", "e"),
    ]
    kept = without_echoes([Finding("constraint", path, "") for path in paths], causes)
    assert [finding.path for finding in kept] == [("a", 0, "other"), ("a", 1, "name"), ("b", "c", "d"), ("b", "e")]
    assert without_echoes(kept, []) == kept
