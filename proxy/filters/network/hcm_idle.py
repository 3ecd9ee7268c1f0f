"""Ends connections that stay idle in the express lane: one look every now and then instead of a timer for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.filters.network.hcm_express import Lane

_PER_SECOND = 4
"""Slots: a connection ends at most this part of a second late, and one look of the watch; never early."""


class IdleLanes:
    """The lanes of one connection manager that wait for requests, by when to look at them next.

    A lane does nothing here for a request: whether one has come since is seen when its turn comes.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout  # seconds; 0: never
        self._slots: dict[int, dict[Lane, None]] = {}
        self._passed = 0  # slots up to here have been looked at

    def add(self, lane: Lane, now: float) -> None:
        """`lane` waits since `now`."""
        if self._timeout > 0:
            if not self._slots:
                self._passed = int(now * _PER_SECOND)
            self._put(lane, now + self._timeout)

    def discard(self, lane: Lane) -> None:
        """It has ended, or has become a task's."""
        slot = self._slots.get(lane.idle_slot)
        if slot is not None:
            slot.pop(lane, None)
            if not slot:
                del self._slots[lane.idle_slot]
        lane.idle_slot = 0

    def expire(self, now: float) -> list[Lane]:
        """Those whose timeout is over; they are no longer kept here."""
        passed, self._passed = self._passed, int(now * _PER_SECOND)
        late = []
        for number in range(passed + 1, self._passed + 1) if self._slots else ():
            for lane in self._slots.pop(number, ()):
                due = lane.idle_since + self._timeout
                if not lane.idle:
                    self._put(lane, now + self._timeout)
                elif due > now:
                    self._put(lane, due)
                else:
                    lane.idle_slot = 0
                    late.append(lane)
        return late

    def _put(self, lane: Lane, due: float) -> None:
        lane.idle_slot = number = int(due * _PER_SECOND) + 1
        self._slots.setdefault(number, {})[lane] = None
