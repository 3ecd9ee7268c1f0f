"""What a measurement yields, and the statistics over repetitions. Pure.

A `Sample` is what one repetition measured, metric by name (`METRICS` has their units). Ratios are taken repetition by
repetition, since those ran one right after the other, and only then summarised.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

Sample = dict[str, float]

METRICS = {
    "rps": "requests/s",
    "cpu": "CPU µs per request",
    "user": "user µs per request",
    "system": "system µs per request",
    "p50": "µs",
    "p99": "µs",
    "p999": "µs",
    "memory": "bytes (PSS of all processes)",
    "burden": "CPU per request beside idle connections, as a multiple of what it is without them",
    "connection": "bytes of memory per idle connection",
    "neighbour": "ms, the longest time of a request beside attackers; `beside …` is that for one kind of them",
    "rest": "ms of CPU per second without any request",
    "start": "ms from the start of the program to the first response",
    "change": "ms from a change in DNS until all workers send requests to the new host",
    "host": "bytes of memory per host",
    "cluster": "bytes of memory per cluster with one host",
    "replace": "ms from SIGKILL of the worker to the next response on its socket",
}


class Unfit(Exception):
    """There is no honest figure here; the text says why."""


class Spread(NamedTuple):
    """The median of repetitions and the range of all of them."""

    median: float
    low: float
    high: float


@dataclass
class Cell:
    """One subject in one scenario. `problem` says why there is no figure, or why those that there are do not count."""

    samples: list[Sample] = field(default_factory=list)
    problem: str = ""

    def values(self, metric: str) -> list[float]:
        """One per repetition; empty when the cell is invalid or the metric was not measured."""
        if self.problem:
            return []
        return [sample[metric] for sample in self.samples if metric in sample]


Row = dict[str, Cell]  # by subject
Table = dict[str, Row]  # by scenario


def spread(values: Iterable[float]) -> Spread | None:
    """None without values."""
    known = list(values)
    return Spread(statistics.median(known), min(known), max(known)) if known else None


def ratio(row: Row, metric: str, over: str, under: str) -> Spread | None:
    """`metric` of subject `over` divided by that of `under`, pairwise; None unless both have it."""
    above = row[over].values(metric) if over in row else []
    below = row[under].values(metric) if under in row else []
    return spread(a / b for a, b in zip(above, below, strict=False) if b > 0)
