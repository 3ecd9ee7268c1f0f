"""Which child hangs? Pure; all times are `time.monotonic_ns()`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

HUNG_AFTER_NS = 5_000_000_000
OWN_LAG_NS = 1_000_000_000  # our own loop was late: the machine is stalled or was suspended, so nobody is accused
KILL_AFTER_NS = 1_000_000_000  # between the traceback (SIGABRT) and SIGKILL


class Beat(NamedTuple):
    """A child and the last time it gave a sign of life (its start counts as one)."""

    slot: int
    last_ns: int


def hung(beats: Iterable[Beat], *, now_ns: int) -> Beat | None:
    """The child that has been silent longest, if that is too long; one at a time, so that a stall kills no crowd."""
    oldest = min(beats, key=lambda beat: beat.last_ns, default=None)
    if oldest is None or now_ns - oldest.last_ns < HUNG_AFTER_NS:
        return None
    return oldest
