"""Does a canary do worse than the generation that it is to follow? Pure: counts go in, the reason comes out.

Rates are compared, never counts, since the canary has a small share of the traffic. A difference counts when it is not
chance (Fisher's exact test), so that one unlucky request, or ten of two million, send nobody back. The comparison is
made again and again as the figures grow, which is why so much certainty is asked for.
"""

from __future__ import annotations

import math
from typing import NamedTuple

CHANCE = 0.001  # a difference that chance alone would make more often than this does not count
LEAST_FAILURES = 5  # fewer say nothing, whatever their share
FACTOR = 1.5  # by which the canary's rate must exceed the other: a little worse is no reason, however certain


class Share(NamedTuple):
    """`bad` ones of `all` (requests, or beats of an event loop)."""

    bad: int
    all: int

    @property
    def rate(self) -> float:
        return self.bad / self.all if self.all else 0.0


class Figures(NamedTuple):
    """What a generation did in some time. `requests`: failed by our own doing (a 5xx that no upstream sent, a TCP
    connection without an upstream) of all; `beats`: late ones of the loops; `deaths` of processes that nobody ordered.
    """

    requests: Share = Share(0, 0)
    beats: Share = Share(0, 0)
    deaths: int = 0


def objection(canary: Figures, other: Figures) -> str | None:
    """Why the restart must not go on, or None. `other` is the generation that serves, over the same time."""
    if canary.deaths > other.deaths:
        return f"{canary.deaths} of its processes died, {other.deaths} of the generation that serves"
    for what, mine, theirs in (
        ("requests failed by its own doing", canary.requests, other.requests),
        ("beats of its event loop were late", canary.beats, other.beats),
    ):
        if worse(mine, theirs):
            return (
                f"{mine.bad} of {mine.all} {what} ({mine.rate:.2%}), "
                f"{theirs.bad} of {theirs.all} in the generation that serves ({theirs.rate:.2%})"
            )
    return None


def worse(mine: Share, theirs: Share) -> bool:
    """Whether `mine` is the higher rate, by enough to matter and by more than chance."""
    if mine.bad < LEAST_FAILURES or mine.rate <= FACTOR * theirs.rate:
        return False
    return chance(mine, theirs) < CHANCE


def chance(mine: Share, theirs: Share) -> float:
    """How likely `mine.bad` or more of all failures would be ours, were both the same (Fisher's exact test, one side).

    1.0 where there is nothing to compare with. `mine` must have the higher rate: terms then fall quickly.
    """
    failures = mine.bad + theirs.bad
    total = mine.all + theirs.all

    def choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    term = math.exp(choose(mine.all, mine.bad) + choose(theirs.all, theirs.bad) - choose(total, failures))
    tail = 0.0
    for ours in range(mine.bad, min(failures, mine.all) + 1):
        tail += term
        rest = theirs.all - failures + ours + 1  # of theirs that went well, with one failure less
        term *= (mine.all - ours) * (failures - ours) / ((ours + 1) * rest)
        if term < tail * 1e-9:
            break
    return tail
