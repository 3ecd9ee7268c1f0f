"""`/stats` as text: one line a stat (features §13 rule 51)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from master.stats.derive import Buckets
from master.stats.numbers import general, shortest
from master.stats.quantiles import QUANTILES, UPPER_BOUNDS, bins, cumulative, quantiles
from master.stats.snapshot import Snapshot

EMPTY = "No recorded values"


def summary(interval: Buckets, total: Buckets) -> str:
    """`P0(interval,cumulative) P25(…)…`"""
    pairs = zip(QUANTILES, quantiles(interval), quantiles(total), strict=True)
    return " ".join(f"P{general(100 * quantile)}({shortest(now)},{shortest(ever)})" for quantile, now, ever in pairs)


def _summary_line(interval: Buckets, total: Buckets) -> str:
    return summary(interval, total) if any(total.values()) else EMPTY


def _cumulative_line(interval: Buckets, total: Buckets) -> str:
    return _bounds(cumulative(interval), cumulative(total)) if any(total.values()) else EMPTY


def _disjoint_line(interval: Buckets, total: Buckets) -> str:
    return _bounds(_steps(interval), _steps(total)) if any(total.values()) else EMPTY


def _detailed_lines(interval: Buckets, total: Buckets) -> str:
    if not any(total.values()):
        return EMPTY
    return f"\n  totals={_bins(total)}\n  intervals={_bins(interval)}\n  summary={summary(interval, total)}"


def _bounds(now: list[int], ever: list[int]) -> str:
    return " ".join(f"B{general(upper)}({i},{c})" for upper, i, c in zip(UPPER_BOUNDS, now, ever, strict=True))


def _steps(buckets: Buckets) -> list[int]:
    return [after - before for before, after in pairwise([0, *cumulative(buckets)])]


def _bins(buckets: Buckets) -> str:
    return ", ".join(f"{general(low)},{general(width)}:{count}" for low, width, count in bins(buckets))


MODES: Mapping[str, Callable[[Buckets, Buckets], str]] = {
    "": _summary_line,
    "summary": _summary_line,
    "cumulative": _cumulative_line,
    "disjoint": _disjoint_line,
    "detailed": _detailed_lines,
}
"""`histogram_buckets=`: how a histogram is shown, given its interval's and its cumulative buckets."""


def render(stats: Snapshot, mode: str = "") -> Iterator[str]:
    """Lines with their ends: counters and gauges by name, then histograms by name. `mode` is a key of `MODES`."""
    show = MODES[mode]
    for name, value in sorted([*stats.counters.items(), *stats.gauges.items()]):
        yield f"{name}: {value}\n"
    for name, total in sorted(stats.histograms.items()):
        shown = show(stats.intervals.get(name, {}), total)
        yield f"{name}:{shown}\n" if shown.startswith("\n") else f"{name}: {shown}\n"
