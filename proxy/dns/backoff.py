"""How long to wait after failures: Envoy's `dns_failure_refresh_rate`. Pure but for the random source."""

from __future__ import annotations

import random

SHORTEST = 0.001  # seconds; Envoy counts in milliseconds


class FailureBackoff:
    """Full jitter below an interval that doubles from `base` to `longest` (seconds), as Envoy's
    JitteredExponentialBackOffStrategy; the fixed `refresh_rate` where the configuration asks for nothing else."""

    def __init__(self, refresh_rate: float, base: float, longest: float, rng: random.Random) -> None:
        self._fixed = refresh_rate if base == longest == refresh_rate else None
        self._base = base
        self._longest = max(base, longest)
        self._rng = rng
        self._interval = base

    def reset(self) -> None:
        """After a success."""
        self._interval = self._base

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        if self._fixed is not None:
            return self._fixed
        interval = self._interval
        self._interval = min(interval * 2, self._longest)
        return max(self._rng.uniform(0, interval), SHORTEST)
