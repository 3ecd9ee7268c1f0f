"""`/stats/prometheus`: the text exposition format as Envoy writes it (features §13 rules 50 and 52)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from master.stats.derive import Buckets
from master.stats.numbers import exact, general
from master.stats.quantiles import QUANTILES, UPPER_BOUNDS, cumulative, quantiles, sample_count, sample_sum
from master.stats.snapshot import Snapshot
from master.stats.tags import extract

MODES = ("", "cumulative", "summary")
"""`histogram_buckets=` values that this format has."""

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_]", re.ASCII)
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Value = TypeVar("Value")


def metric_name(base: str) -> str:
    """The family of a stat, from its name without tags."""
    return "envoy_" + _NOT_A_NAME.sub("_", base)


def labels(tags: tuple[tuple[str, str], ...]) -> str:
    """`name="value",…` in the order of `tags`; backslash, quote and line feed are escaped."""
    return ",".join(f'{_NOT_A_NAME.sub("_", name)}="{value.translate(_ESCAPES)}"' for name, value in tags)


def render(stats: Snapshot, mode: str = "") -> Iterator[str]:
    """Lines with their ends, family by family: counters, gauges, histograms. `mode` is one of `MODES`."""
    yield from _families(stats.counters, "counter", _plain)
    yield from _families(stats.gauges, "gauge", _plain)
    if mode == "summary":
        intervals = {name: stats.intervals.get(name, {}) for name in stats.histograms}
        yield from _families(intervals, "summary", _summary)
    else:
        yield from _families(stats.histograms, "histogram", _histogram)


def _families(
    stats: Mapping[str, Value], kind: str, series: Callable[[str, str, Value], Iterator[str]]
) -> Iterator[str]:
    families: dict[str, list[str]] = {}
    for name in stats:
        families.setdefault(extract(name).base, []).append(name)
    for base, names in sorted(families.items()):
        metric = metric_name(base)
        yield f"# TYPE {metric} {kind}\n"
        for name in sorted(names):
            yield from series(metric, labels(extract(name).tags), stats[name])


def _plain(metric: str, tags: str, value: int) -> Iterator[str]:
    yield f"{metric}{{{tags}}} {value}\n"


def _histogram(metric: str, tags: str, buckets: Buckets) -> Iterator[str]:
    lead = f"{tags}," if tags else ""
    for upper, count in zip(UPPER_BOUNDS, cumulative(buckets), strict=True):
        yield f'{metric}_bucket{{{lead}le="{exact(upper)}"}} {count}\n'
    yield f'{metric}_bucket{{{lead}le="+Inf"}} {sample_count(buckets)}\n'
    yield from _totals(metric, tags, buckets)


def _summary(metric: str, tags: str, interval: Buckets) -> Iterator[str]:
    lead = f"{tags}," if tags else ""
    for quantile, value in zip(QUANTILES, quantiles(interval), strict=True):
        yield f'{metric}{{{lead}quantile="{general(quantile)}"}} {exact(value)}\n'
    yield from _totals(metric, tags, interval)


def _totals(metric: str, tags: str, buckets: Buckets) -> Iterator[str]:
    yield f"{metric}_sum{{{tags}}} {exact(sample_sum(buckets))}\n"
    yield f"{metric}_count{{{tags}}} {sample_count(buckets)}\n"
