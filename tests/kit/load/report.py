"""What became of the requests of a load."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple


class Outcome(NamedTuple):
    """One request. Times are `time.monotonic()`, comparable over processes. `cause` is empty when it went well.

    Causes: `refused`, `not connected` (reset or timed out), `closed idle` (the peer had closed or reset the connection
    before the request was sent, and had not said so with its last response), `closed` (… before any byte of the
    response), `cut` (… within it), `timeout`, `status N`, `wrong …`.

    `port` is the client's, 0 where there is none, and `opened` the time at which the connection was begun: together
    they name one connection.
    """

    connection: int
    reused: bool
    start: float
    end: float
    cause: str
    port: int = 0
    opened: float = 0.0


@dataclass
class Report:
    """All outcomes of one run, by time of start."""

    outcomes: list[Outcome]

    @property
    def ok(self) -> int:
        return sum(not outcome.cause for outcome in self.outcomes)

    @property
    def failed(self) -> Counter[str]:
        """How many requests failed, by cause."""
        return Counter(outcome.cause for outcome in self.outcomes if outcome.cause)

    def since(self, start: float) -> Report:
        """Only the requests that began at or after `start`."""
        return Report([outcome for outcome in self.outcomes if outcome.start >= start])

    def longest_wait(self) -> float:
        """The longest time in seconds that a request, good or bad, took."""
        return max((outcome.end - outcome.start for outcome in self.outcomes), default=0.0)

    def longest_silence(self) -> float:
        """The longest time in seconds between two successive good responses, over all connections."""
        ends = sorted(outcome.end for outcome in self.outcomes if not outcome.cause)
        return max((after - before for before, after in itertools.pairwise(ends)), default=0.0)
