"""Notices clients that go away while their request waits for an upstream.

A task per exchange that watches its socket costs 27 µs; one `poll` a second for those that take long, half a µs each.
POLLRDHUP sees the end of the stream behind bytes that nobody has read (a pipelined request, a body).
"""

from __future__ import annotations

import select

import trio

from proxy.http.deadlines import Deadlines
from proxy.limits import DISCONNECT_CHECK

_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class DisconnectWatch:
    """The exchanges in progress of one worker, by descriptor. A half-closed client counts as gone, as in Envoy."""

    def __init__(self) -> None:
        self._exchanges: dict[int, Deadlines] = {}

    def add(self, fd: int, deadlines: Deadlines) -> None:
        """An exchange begins on the connection `fd`."""
        self._exchanges[fd] = deadlines

    def discard(self, fd: int) -> None:
        """The exchange on `fd` is over."""
        self._exchanges.pop(fd, None)

    def check(self, now: float) -> None:
        """End the exchanges that began `DISCONNECT_CHECK` before `now` or earlier and whose client has gone."""
        poller = select.poll()
        for fd, deadlines in self._exchanges.items():  # oldest first, but for what the express lane handed over
            if now - deadlines.started < DISCONNECT_CHECK:
                break
            poller.register(fd, select.POLLRDHUP)
        for fd, events in poller.poll(0):
            if events & _GONE:
                self._exchanges[fd].client_gone()

    async def run(self) -> None:
        """Check every second, for ever."""
        while True:
            await trio.sleep(DISCONNECT_CHECK)
            if self._exchanges:
                self.check(trio.current_time())
