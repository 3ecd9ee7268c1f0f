"""What changed since an earlier run, whose JSON was kept."""

from __future__ import annotations

from collections.abc import Iterator

from bench.figures import Spread, Table, ratio, spread
from bench.report import shown

METRICS = ("cpu", "p99", "connection", "neighbour", "rest", "start", "replace", "change", "host", "cluster")


def changes(old: Table, new: Table) -> Iterator[tuple[str, Spread, Spread, str]]:
    """(what, before, after, word) for our own figures and their ratios to Envoy, where both runs have them.

    The word is `better` or `worse` (all of these are better when they are smaller), or `same` when the two ranges
    overlap: then the difference is within what repetitions differ anyhow.
    """
    for scenario in new:
        if scenario not in old:
            continue
        for metric in METRICS:
            for subject in new[scenario]:
                if subject == "envoy" or subject not in old[scenario]:
                    continue
                pairs = {
                    f"{scenario} {subject} {metric}": [
                        spread(table[scenario][subject].values(metric)) for table in (old, new)
                    ],
                    f"{scenario} {subject} {metric}, ratio to envoy": [
                        ratio(table[scenario], metric, subject, "envoy") for table in (old, new)
                    ],
                }
                for what, (before, after) in pairs.items():
                    if before is not None and after is not None:
                        yield what, before, after, _word(before, after)


def _word(before: Spread, after: Spread) -> str:
    if after.high < before.low:
        return "better"
    return "worse" if after.low > before.high else "same"


def changes_text(old: Table, new: Table) -> str:
    """One line per figure."""
    lines = [
        f"  {word:7} {what}: {shown(before)} → {shown(after)}, {after.median / before.median - 1:+.0%}"
        for what, before, after, word in changes(old, new)
        if before.median
    ]
    return "\n".join(["\nSince the earlier run (better or worse only where the ranges do not overlap):", *lines])
