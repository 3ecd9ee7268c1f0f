"""What came of it, as text for a terminal and as JSON for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.soak.verdict import Fault, Line, Verdict
from tests.kit.load import Outcome

_HEADINGS = ("", "times", "requests", "failed", "excused", "longest", "verdict")
_SHOWN_FAULTS = 20


def text(
    subject: str, verdict: Verdict, unavailable: Mapping[str, str], explain: Callable[[Outcome], list[str]]
) -> str:
    """Both tables, then each failure that nothing excuses."""
    lines = [(name, *_columns(line)) for name, line in verdict.operations.items() if line.requests or line.times]
    lines += [(name, "-", "-", "-", "-", "-", f"not available: {reason}") for name, reason in unavailable.items()]
    lines.append(("all", *_columns(verdict.total)))
    kinds = [(name, "", *_columns(line)[1:]) for name, line in verdict.kinds.items()]
    found = [f"\n{subject}", *_table([_HEADINGS, *lines]), "", *_table([_HEADINGS, *kinds])]
    if excused := verdict.total.excused:
        found.append(f"\nexcused: {excused} on connections that a killed process had accepted")
    for name, line in verdict.operations.items():
        found += [f"\n{name} went wrong: {problem}" for problem in line.problems]
    for fault in verdict.faults[:_SHOWN_FAULTS]:
        found.append("\n" + _fault(fault))
        found += [f"    {line}" for line in explain(fault.outcome)]
    if (more := len(verdict.faults) - _SHOWN_FAULTS) > 0:
        found.append(f"\n… and {more} more")
    return "\n".join(found)


def as_json(verdict: Verdict, unavailable: Mapping[str, str]) -> dict[str, Any]:
    """Everything but the good requests."""
    return {
        "operations": {name: _line(line) for name, line in verdict.operations.items()},
        "kinds": {name: _line(line) for name, line in verdict.kinds.items()},
        "unavailable": dict(unavailable),
        "total": _line(verdict.total),
        "faults": [
            {"operation": fault.event.name, "kind": fault.kind, **fault.outcome._asdict()} for fault in verdict.faults
        ],
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "times": line.times,
        "requests": line.requests,
        "failed": line.failed.total(),
        "causes": dict(line.failed),
        "excused": line.excused,
        "longest_seconds": round(line.longest, 3),
        "problems": line.problems,
        "good": line.good,
    }


def _columns(line: Line) -> tuple[str, ...]:
    failed = f"{line.failed.total():,}"
    counts = (f"{line.times:,}", f"{line.requests:,}", failed, f"{line.excused:,}", f"{line.longest:.1f} s")
    return (*counts, "good" if line.good else _bad(line))


def _bad(line: Line) -> str:
    said = [f"{line.unexcused} not excused ({_causes(line.failed)})"] if line.unexcused else []
    said += [f"went wrong {len(line.problems)} times"] if line.problems else []
    return "; ".join(said)


def _causes(failed: Counter[str]) -> str:
    return ", ".join(f"{count} {cause}" for cause, count in failed.most_common())


def _fault(fault: Fault) -> str:
    event, outcome = fault.event, fault.outcome
    after, took = outcome.end - event.began, outcome.end - outcome.start
    where = f"{after:.2f} s after the beginning of {event.name}" if event.began else event.name
    reused = "an open" if outcome.reused else "a new"
    return f"{fault.kind}: {outcome.cause}, {where}, after {took:.2f} s on {reused} connection from port {outcome.port}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in (0, len(row) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
