"""Should this response be the last one of its connection? Asked with each response while a listener drains.

Envoy's rules (`Network::shouldDrainClose`): at once with `--drain-strategy immediate`; with `gradual` the odds grow
with the time since the drain began, so that its connections do not all come back to somebody else in the same second.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import NamedTuple

import trio

RAMP = 0.5
"""The part of the drain time in which the odds grow to 1: whoever asks later has the other half to leave."""


class Drain(NamedTuple):
    """`began` is on the clock of the event loop; `seconds` is the drain time (`--drain-time-s`)."""

    began: float
    seconds: float
    immediate: bool = False


def close_probability(drain: Drain, now: float) -> float:
    """How likely a response at `now` ends its connection: 0 in the drain's first second, 1 from half of its time on.

    Pure. Envoy counts whole seconds, and so do we.
    """
    ramp = math.ceil(drain.seconds * RAMP)
    elapsed = math.floor(now - drain.began)
    if drain.immediate or elapsed >= ramp:
        return 1.0
    return max(0.0, elapsed / ramp)


class ListenerDrain:
    """What one listener's connections are told. `active`: there is something to `decide`.

    A failed health check closes at once, unless the listener drains for modifications alone (`drain_type:
    MODIFY_ONLY`); a drain is for every listener that it names.
    """

    __slots__ = ("_drain", "_health_check_failed", "_modify_only", "_random", "active")

    def __init__(self, *, modify_only: bool = False, random: Callable[[], float] = random.random) -> None:
        self._modify_only = modify_only
        self._random = random
        self._drain: Drain | None = None
        self._health_check_failed = False
        self.active = False

    def begin(self, *, elapsed: float = 0.0, seconds: float = 0.0, immediate: bool = False) -> None:
        """The listener drains since `elapsed` seconds; without arguments each next response is the last."""
        self._drain = Drain(trio.current_time() - elapsed, seconds, immediate)
        self.active = True

    def end(self) -> None:
        """The drain is taken back."""
        self._drain = None
        self.active = self._health_check_failed

    def fail_health_check(self, failed: bool) -> None:
        self._health_check_failed = failed and not self._modify_only
        self.active = self._health_check_failed or self._drain is not None

    def decide(self) -> bool:
        """Whether the response that is about to be sent ends its connection."""
        if self._health_check_failed:
            return True
        return self._drain is not None and self._random() < close_probability(self._drain, trio.current_time())
