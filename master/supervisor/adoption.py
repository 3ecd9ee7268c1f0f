"""Connections on their way from a generation that drains to a worker of its successor.

What waits in a channel is closed by the kernel together with the process that was to read it. So we keep a copy of each
connection until its worker says that it has it. Before it says so it reads nothing, so that another worker may have
the connection if it dies; afterwards the connection is its own, and so is what becomes of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from master.supervisor.child import Child

PATIENCE = 10.0  # s; a worker that hangs has been killed by then
MOST = 1000  # connections kept at once; further ones are passed on without a copy

Send = Callable[[Child, dict[str, Any], list[int]], None]
"""Sends a message with descriptors, and closes them."""


class _Packet(NamedTuple):
    listener: str
    fds: list[int]
    worker: Child | None  # None while there is nobody
    expires: float


class Adoptions:
    """The packets of connections that nobody has said to have. `workers` are those who may have them now."""

    def __init__(self, workers: Callable[[], Sequence[Child]], send: Send) -> None:
        self._workers = workers
        self._send = send
        self._packets: dict[int, _Packet] = {}
        self._number = 0

    @property
    def busy(self) -> bool:
        """Somebody has not said yet to have connections."""
        return bool(self._packets)

    def pass_on(self, listener: str, fds: list[int]) -> None:
        """To one worker after the other, or to the first that there is (`found`); takes `fds`."""
        self._number += 1
        kept, now = fds.copy(), time.monotonic()
        fds.clear()
        workers = self._workers()
        able = [worker for worker in workers if worker.state == "ready"] or workers
        worker = able[self._number % len(able)] if able else None
        self._packets[self._number] = _Packet(listener, kept, worker, now + PATIENCE)
        if worker is not None:
            message = {"type": "connections", "listener": listener, "packet": self._number}
            self._send(worker, message, [os.dup(fd) for fd in kept])
        self.expire(now)

    def arrived(self, number: int, worker: Child) -> None:
        """It has these connections now."""
        packet = self._packets.get(number)
        if packet is not None and packet.worker is worker:
            self._close(number)

    def bereaved(self, worker: Child) -> None:
        """It is gone: what it did not say to have goes to others."""
        self._again(worker)

    def found(self) -> None:
        """Somebody is ready: connections that had nobody go there."""
        self._again(None)

    def _again(self, worker: Child | None) -> None:
        for number, packet in list(self._packets.items()):
            # What is passed on again may push the copy of another one out.
            if packet.worker is worker and self._packets.pop(number, None) is not None:
                self.pass_on(packet.listener, packet.fds)

    def expire(self, now: float) -> None:
        """Give up copies that are older than `PATIENCE`, and the oldest ones beyond `MOST`."""
        total = sum(len(packet.fds) for packet in self._packets.values())
        for number, packet in list(self._packets.items()):
            if packet.expires > now and total <= MOST:
                return
            total -= len(packet.fds)
            self._close(number)

    def _close(self, number: int) -> None:
        for fd in self._packets.pop(number).fds:
            os.close(fd)
