"""Findings as text and JSON."""

from __future__ import annotations

from master.config.finding import Finding, Position
from master.config.report import render, summary, to_json

UNKNOWN = Finding("unknown_field", ("a", 0, "nmae"), 'unknown field "nmae" of m.M', suggestion="name")
WARNING = Finding("unsupported", ("b",), "m.M.b is not supported", severity="warning")
SYNTAX = Finding("syntax", (), "bad", "good", position=Position("e.yaml", 1, 2))


def locate(path: tuple[str | int, ...]) -> Position | None:
    return Position("e.yaml", 12, 7) if path == UNKNOWN.path else None


def test_text_is_ordered_by_place() -> None:
    assert render([UNKNOWN, SYNTAX, WARNING], locate, color=False) == (
        "warning: b: m.M.b is not supported\n"
        "e.yaml:1:2: error: bad; expected good\n"
        'e.yaml:12:7: error: a[0].nmae: unknown field "nmae" of m.M; did you mean "name"?\n'
    )


def test_colour_and_control_characters() -> None:
    hostile = Finding("type", ("x\x1b[2J",), "y\n\x07")
    text = render([hostile], lambda path: None, color=False)
    assert text == "error: x\\x1b[2J: y\\n\\x07\n"
    coloured = render([hostile], lambda path: Position("f", 1, 1), color=True)
    assert coloured.startswith("\x1b[1mf:1:1: \x1b[0m\x1b[31merror:\x1b[0m ")
    assert "\x1b[2J" not in coloured


def test_json() -> None:
    assert to_json([UNKNOWN], locate) == [
        {
            "file": "e.yaml",
            "line": 12,
            "column": 7,
            "path": "a[0].nmae",
            "kind": "unknown_field",
            "severity": "error",
            "message": 'unknown field "nmae" of m.M',
            "expected": "",
            "suggestion": "name",
        }
    ]
    assert to_json([WARNING], locate)[0]["line"] == 0


def test_summary() -> None:
    assert summary([UNKNOWN, SYNTAX, WARNING]) == "2 errors, 1 warning"
    assert summary([WARNING, WARNING]) == "2 warnings"
    assert summary([]) == "no errors"
