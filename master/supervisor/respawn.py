"""When may a dead child be started again? Pure; times in seconds."""

from __future__ import annotations

HEALTHY_AFTER = 10.0  # a child that lived this long did not fail "at start"
BASE_DELAY = 0.1
MAX_DELAY = 30.0


class Backoff:
    """Counts deaths in a row that came early; each doubles the wait before the next start."""

    __slots__ = ("early_deaths",)

    def __init__(self) -> None:
        self.early_deaths = 0

    def died(self, *, lived: float, ready: bool) -> float:
        """The wait before the next start. A child that was ready restarts at once the first time it dies early."""
        if lived >= HEALTHY_AFTER:
            self.early_deaths = 0
            return 0.0
        self.early_deaths += 1
        if ready and self.early_deaths == 1:
            return 0.0
        return float(min(MAX_DELAY, BASE_DELAY * 2 ** min(self.early_deaths - 1, 20)))
