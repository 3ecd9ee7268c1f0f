"""How long to wait before the next attempt. Pure: numbers in, seconds out."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from proxy.config.forwarding import ResetHeader
from proxy.http.headers import Headers

_MAX_DIGITS = 20  # of a number of 64 bits


class BackOff:
    """Fully jittered: before retry n, a time in [0, min(base·2ⁿ⁻¹, longest)) (`JitteredExponentialBackOffStrategy`).

    `draw` gives numbers in [0, 1).
    """

    __slots__ = ("_draw", "_longest", "_next")

    def __init__(self, base: float, longest: float, draw: Callable[[], float] = random.random) -> None:
        self._next = base
        self._longest = longest
        self._draw = draw

    def next(self) -> float:
        """Seconds until the next retry."""
        interval = self._next
        self._next = min(2 * interval, self._longest)
        return interval * self._draw()


def ratelimited(asked: float, draw: Callable[[], float] = random.random) -> float:
    """Seconds until the retry that a host `asked` to wait for: never earlier, and up to half as much again later."""
    return asked * (1 + draw() / 2)


def asked_interval(
    headers: Headers, reset_headers: Sequence[ResetHeader], longest: float, now: Callable[[], float] = time.time
) -> float | None:
    """Seconds that a response asks to wait: the first of `reset_headers` that says something up to `longest` counts.
    None if none does, or a millisecond is all that it asks for. `now`: Unix time.
    """
    for header in reset_headers:
        seconds = _seconds(headers.get(header.name.encode()) or b"", header, now)
        if seconds is not None and seconds <= longest:
            return seconds if seconds > 0.001 else None
    return None


def _seconds(value: bytes, header: ResetHeader, now: Callable[[], float]) -> float | None:
    digits = value.strip()
    if not digits.isdigit() or len(digits) > _MAX_DIGITS:
        return None
    number = float(digits)
    if header.format == "SECONDS":
        return number
    left = number - now()
    return left if left >= 0 else None
