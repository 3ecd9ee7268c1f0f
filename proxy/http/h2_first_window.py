"""What an upstream may send on a stream before anybody has taken some of it: little, and less while there are many.

A stream's window doubles as what comes is taken, so a small one costs long bodies a moment at their beginning. A
thousand streams of clients that do not read would else have us hold a large one for each, and fill the window of the
connection, which others need.
"""

from __future__ import annotations

LARGE_WINDOW = 1024 * 1024
"""Windows that are configured to be no larger are what they are from the beginning."""

GENEROUS = 16 * 1024
FRUGAL = 4 * 1024

_MANY = 64
"""Streams that may be had with a generous one: 1 MiB."""

_FEW = _MANY // 4
"""When they are so few again, there is room. In between nothing changes, so that SETTINGS are rare."""


class Crowd:
    """The streams of all connections to one cluster, by their number."""

    __slots__ = ("streams",)

    def __init__(self) -> None:
        self.streams = 0

    def first_window(self, now: int) -> int:
        """What the next stream's is, if that of the last one was `now`."""
        if self.streams >= _MANY:
            return FRUGAL
        return GENEROUS if self.streams < _FEW else now
