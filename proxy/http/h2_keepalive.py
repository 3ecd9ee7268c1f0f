"""When to ask a silent HTTP/2 peer whether it is still there: `KeepaliveSettings`. Pure; times are the caller's."""

from __future__ import annotations

import random

from proxy.config.http2 import Keepalive as Settings

NEVER = float("inf")


class Keepalive:
    """One connection's. At `due` somebody has to look: `lost` then tells whether an answer is overdue, and `ask` gives
    the next PING.
    """

    __slots__ = ("_asked", "_begun", "_settings", "due", "lost")

    def __init__(self, settings: Settings, now: float = 0.0) -> None:
        self._settings = settings
        self._asked = 0  # PINGs that were sent
        self._begun = now
        self.lost = False
        self.due = self._next(now) if settings.interval else NEVER

    def _next(self, now: float) -> float:
        return now + self._settings.interval * (1 + random.random() * self._settings.jitter)

    def is_due(self, now: float) -> bool:
        return now >= self.due

    def ask(self, now: float) -> bytes:
        """The opaque data of a PING that is sent at `now`; its answer has the timeout to come."""
        self._asked += 1
        self.lost = True
        self._begun = now
        self.due = now + self._settings.timeout
        return self._asked.to_bytes(8, "big")

    def heard(self, answered: int) -> None:
        """So many PINGs have been `answered`."""
        if self.lost and answered >= self._asked:
            self.lost = False
            self.due = self._next(self._begun) if self._settings.interval else NEVER

    def doubts(self, now: float, heard_at: float) -> bool:
        """Whether to ask before a stream begins, as nothing was heard since `heard_at`."""
        idle = self._settings.idle_interval
        return idle > 0 and not self.lost and now - heard_at > idle

    def stop(self) -> None:
        self.due = NEVER
