"""The targets, and what the figures say about them. They are printed as verdicts and never asserted."""

from __future__ import annotations

from dataclasses import dataclass

from bench.figures import Spread, Table, ratio


@dataclass(frozen=True)
class Target:
    """`metric` of `over` is at most `limit` times that of `under`, in this scenario."""

    scenario: str
    metric: str
    limit: float
    over: str = "trireme"
    under: str = "envoy"

    def __str__(self) -> str:
        return f"{self.scenario}: {self.metric} ≤ {self.limit:g}× {self.under}"


TARGETS = (
    Target("small-32", "cpu", 0.8),
    Target("small-32", "p99", 1.0),
    Target("access-log", "cpu", 0.9),
    Target("new-connection", "cpu", 1.0),
    Target("get-100m", "cpu", 0.7),
    Target("tcp-100m", "cpu", 0.6),
    Target("get-64k", "cpu", 0.8),
    Target("h2-h1", "cpu", 3.0),
    Target("tls-32", "cpu", 1.2),
    Target("idle", "connection", 1.0),
    Target("beside-idle", "cpu", 0.8),
    Target("stats", "cpu", 1.08, under="no-stats"),
)


@dataclass(frozen=True)
class Verdict:
    """`word` is `met`, `missed`, or `unknown` where there is no figure. `clear` is False when the range of the
    repetitions lies on both sides of the limit."""

    target: Target
    word: str
    measured: Spread | None
    clear: bool = True

    def __str__(self) -> str:
        if self.measured is None:
            return f"unknown  {self.target}: not measured"
        median, low, high = self.measured
        doubt = "" if self.clear else ", but the repetitions do not agree"
        return f"{self.word:8} {self.target}: measured {median:.2f} ({low:.2f}–{high:.2f}){doubt}"


def judge(target: Target, table: Table) -> Verdict:
    """By the median of the ratios."""
    measured = ratio(table.get(target.scenario, {}), target.metric, target.over, target.under)
    if measured is None:
        return Verdict(target, "unknown", None)
    word = "met" if measured.median <= target.limit else "missed"
    return Verdict(target, word, measured, clear=not measured.low <= target.limit < measured.high)
