"""The figures as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from bench.figures import Cell, Row, Spread, Table, ratio, spread
from bench.targets import TARGETS, judge

_REQUEST_HEADINGS = ("", "requests/s", "CPU µs/request", "user+system", "p50 ms", "p99 ms", "p99.9 ms", "memory MB")
_RATIO_NAMES = {"cpu": "CPU", "rps": "requests/s"}
_OTHERS = {
    "connection": "bytes per connection",
    "neighbour": "ms, the longest wait",
    "rest": "ms of CPU per s",
    "start": "ms to the first response",
    "replace": "ms to the next response",
    "change": "ms until all workers know",
    "host": "bytes per host",
    "cluster": "bytes per cluster",
}
_RATIOS = {
    "5-filters": ("cpu", "trireme"),
    "stats": ("cpu", "no-stats"),
    "2-workers": ("rps", "trireme"),
} | dict.fromkeys(("clusters-start", "clusters-change", "host-memory", "cluster-memory"), ("cpu", "envoy-json"))
"""What a scenario's ratios are of, and to whom, where it is not CPU time and Envoy."""


def number(value: float) -> str:
    """With three digits or all of the integer part."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def shown(values: Spread | None) -> str:
    """Median and range."""
    return "-" if values is None else f"{number(values.median)} ({number(values.low)}–{number(values.high)})"


def _shown_ratio(values: Spread | None) -> str:
    return "" if values is None else f"{values.median:.2f} ({values.low:.2f}–{values.high:.2f})"


def row_text(title: str, name: str, row: Row) -> str:
    """One scenario: a line per subject."""
    of, under = _RATIOS.get(name, ("cpu", "envoy"))
    measured = {metric for cell in row.values() for sample in cell.samples for metric in sample}
    single = measured & _OTHERS.keys()
    if not single:
        headings: tuple[str, ...] = (*_REQUEST_HEADINGS, f"{_RATIO_NAMES[of]} ratio to {under}")
        lines = [(subject, *_request_columns(cell), _ratio(row, of, subject, under)) for subject, cell in row.items()]
    else:
        (metric,) = single
        headings = ("", _OTHERS[metric], f"ratio to {under}")
        lines = [
            (subject, shown(spread(cell.values(metric))), _ratio(row, metric, subject, under))
            for subject, cell in row.items()
        ]
    notes = [
        f"  {subject}: {_shown_ratio(burden)} times its CPU per request without the idle ones"
        for subject, cell in row.items()
        if (burden := spread(cell.values("burden")))
    ]
    for attack in sorted(metric for metric in measured if metric.startswith("beside ")):
        waits = ", ".join(f"{subject} {shown(spread(cell.values(attack)))}" for subject, cell in row.items())
        notes.append(f"  {attack}: {waits}")
    problems = [f"  {subject}: no figures: {_one_line(cell.problem)}" for subject, cell in row.items() if cell.problem]
    return "\n".join([f"\n{name}: {title}", *_columns([headings, *lines]), *notes, *problems])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _ratio(row: Row, metric: str, subject: str, under: str) -> str:
    return "" if subject == under else _shown_ratio(ratio(row, metric, subject, under))


def _request_columns(cell: Cell) -> list[str]:
    def median(metric: str, scale: float = 1.0) -> str:
        values = spread(cell.values(metric))
        return "-" if values is None else number(values.median * scale)

    parts = f"{median('user')}+{median('system')}"
    times = [median(metric, 1e-3) for metric in ("p50", "p99", "p999")]
    return [median("rps"), shown(spread(cell.values("cpu"))), parts, *times, median("memory", 1 / (1 << 20))]


def _columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """The first column to the left, the others to the right."""
    known = list(rows)
    widths = [max(map(len, column)) for column in zip(*known, strict=True)]
    return [
        "  ".join(
            [
                "  " + row[0].ljust(widths[0]),
                *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in known
    ]


def verdicts_text(table: Table) -> str:
    """One line per target whose scenario was part of the run; empty if there is none."""
    lines = [str(judge(target, table)) for target in TARGETS if target.scenario in table]
    heading = "\nTargets (median of the repetitions' ratios, and their range):"
    return "\n".join([heading, *(f"  {line}" for line in lines)]) if lines else ""
