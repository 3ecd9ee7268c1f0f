"""Findings that only repeat another: a value is missing because it was refused, so its rules fail as well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from master.config.finding import Finding


def without_echoes(findings: Iterable[Finding], causes: Sequence[Finding]) -> list[Finding]:
    """`findings` but those at, or around, the place of a cause, or at the name that the cause suggests."""
    places: set[tuple[str | int, ...]] = set()
    for cause in causes:
        path = cause.path
        if cause.kind == "unknown_field" and cause.suggestion:
            path = (*path[:-1], cause.suggestion)
        places.update(path[:end] for end in range(len(path) + 1))
    return [finding for finding in findings if finding.path not in places]
