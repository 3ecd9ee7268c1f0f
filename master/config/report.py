"""Findings as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from master.config.finding import Finding, Position

Locate = Callable[[tuple[str | int, ...]], Position | None]

_COLORS = {"error": "\x1b[31m", "warning": "\x1b[33m"}
_BOLD, _RESET = "\x1b[1m", "\x1b[0m"


def render(findings: Iterable[Finding], locate: Locate, *, color: bool) -> str:
    """One line a finding: `file:line:column: error: path: message; expected …; did you mean "…"?`, by position."""
    return "".join(_line(finding, position, color=color) + "\n" for finding, position in _located(findings, locate))


def summary(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 warning`."""
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    parts = [
        f"{count} {word}{'s' * (count != 1)}" for count, word in ((errors, "error"), (warnings, "warning")) if count
    ]
    return ", ".join(parts) or "no errors"


def to_json(findings: Iterable[Finding], locate: Locate) -> list[dict[str, Any]]:
    """The findings as objects with file, line, column, path, kind, severity, message, expected and suggestion."""
    return [
        {
            "file": position.file if position else "",
            "line": position.line if position else 0,
            "column": position.column if position else 0,
            "path": finding.field_path,
            "kind": finding.kind,
            "severity": finding.severity,
            "message": finding.message,
            "expected": finding.expected,
            "suggestion": finding.suggestion,
        }
        for finding, position in _located(findings, locate)
    ]


def _located(findings: Iterable[Finding], locate: Locate) -> list[tuple[Finding, Position | None]]:
    located = [(finding, finding.position or locate(finding.path)) for finding in findings]
    order = {file: number for number, file in enumerate(dict.fromkeys(place.file for _, place in located if place))}
    return sorted(
        located, key=lambda pair: (order[pair[1].file], pair[1].line, pair[1].column) if pair[1] else (-1, 0, 0)
    )


def _line(finding: Finding, position: Position | None, *, color: bool) -> str:
    place = f"{position.file}:{position.line}:{position.column}: " if position else ""
    text = f"{finding.field_path}: {finding.message}" if finding.path else finding.message
    if finding.expected:
        text += f"; expected {finding.expected}"
    if finding.suggestion:
        text += f'; did you mean "{finding.suggestion}"?'
    place, severity, text = _printable(place), f"{finding.severity}:", _printable(text)
    if color:
        place, severity = f"{_BOLD}{place}{_RESET}", f"{_COLORS[finding.severity]}{severity}{_RESET}"
    return f"{place}{severity} {text}"


def _printable(text: str) -> str:
    """Control characters from a configuration must not reach the terminal."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
