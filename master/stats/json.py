"""`/stats?format=json`: one line, Envoy's shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import msgspec

from master.stats.derive import Buckets
from master.stats.numbers import json_number
from master.stats.quantiles import QUANTILES, UPPER_BOUNDS, bins, cumulative, quantiles
from master.stats.snapshot import Snapshot

_PERCENTS = [msgspec.Raw(json_number(100 * quantile).encode()) for quantile in QUANTILES]


def _number(value: float) -> msgspec.Raw:
    return msgspec.Raw(json_number(value).encode())


def _values(interval: Buckets, total: Buckets) -> list[dict[str, msgspec.Raw]]:
    pairs = zip(quantiles(total), quantiles(interval), strict=True)
    return [{"cumulative": _number(ever), "interval": _number(now)} for ever, now in pairs]


def _summary(stats: Snapshot) -> Any:
    computed = [
        {"name": name, "values": _values(stats.intervals.get(name, {}), total)}
        for name, total in sorted(stats.histograms.items())
    ]
    return {"supported_quantiles": _PERCENTS, "computed_quantiles": computed}


def _buckets(stats: Snapshot, count: Callable[[Buckets], list[int]]) -> Any:
    return [
        {
            "name": name,
            "buckets": [
                {"upper_bound": _number(upper), "interval": now, "cumulative": ever}
                for upper, now, ever in zip(
                    UPPER_BOUNDS, count(stats.intervals.get(name, {})), count(total), strict=True
                )
            ],
        }
        for name, total in sorted(stats.histograms.items())
    ]


def _cumulative(stats: Snapshot) -> Any:
    return _buckets(stats, cumulative)


def _disjoint(stats: Snapshot) -> Any:
    return _buckets(stats, lambda buckets: [b - a for a, b in pairwise([0, *cumulative(buckets)])])


def _detailed(stats: Snapshot) -> Any:
    details = [
        {
            "name": name,
            "totals": _bins(total),
            "intervals": _bins(stats.intervals.get(name, {})),
            "percentiles": _values(stats.intervals.get(name, {}), total),
        }
        for name, total in sorted(stats.histograms.items())
    ]
    return {"supported_percentiles": _PERCENTS, "details": details}


def _bins(buckets: Buckets) -> Any:
    return [
        {"lower_bound": _number(low), "width": _number(width), "count": count} for low, width, count in bins(buckets)
    ]


MODES: Mapping[str, Callable[[Snapshot], Any]] = {
    "": _summary,
    "summary": _summary,
    "cumulative": _cumulative,
    "disjoint": _disjoint,
    "detailed": _detailed,
}
"""`histogram_buckets=`: the shape of the `histograms` element."""


def render(stats: Snapshot, mode: str = "") -> bytes:
    """`{"stats":[{"name","value"}…, {"histograms":…}]}`. `mode` is a key of `MODES`."""
    simple = sorted([*stats.counters.items(), *stats.gauges.items()])
    items: list[Any] = [{"name": name, "value": value} for name, value in simple]
    if stats.histograms:
        items.append({"histograms": MODES[mode](stats)})
    return msgspec.json.encode({"stats": items})
