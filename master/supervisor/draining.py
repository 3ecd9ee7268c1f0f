"""Closing listeners so that nobody is reset (`listen_queue.py`), at once or when their drain ends, and reopening them.

The standing order `drain` says which listeners drain, until when, and which of them close then (`Drained`). The workers
read the same order for what they tell their clients; the sockets are the supervisor's part.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

from master.supervisor.sockets import AddressSockets, BindError

if TYPE_CHECKING:
    from master.supervisor.supervisor import Supervisor

log = logging.getLogger("supervisor")

LOOK = 0.02  # seconds between looks at queues that are being emptied
HANDSHAKE_GRACE = 0.2  # seconds for connections whose SYN came before the end and whose ACK is on its way


class Drained(TypedDict):
    """A listener's drain. `began` and `closes` are CLOCK_MONOTONIC seconds; `closes` is None if it stays open."""

    began: float
    seconds: float
    immediate: bool
    closes: float | None


class ListenerDrains:
    """`stopped` counts the listeners that were closed (`listener_manager.listener_stopped`)."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.stopped = 0
        self._supervisor = supervisor
        self._drained: Mapping[str, Drained] = {}
        self._closed: set[str] = set()
        self._closing: list[tuple[AddressSockets, float]] = []  # with the time from which on an empty queue stays empty

    def obey(self, drained: Mapping[str, Drained]) -> str | None:
        """Exactly these listeners drain. Returns why one whose drain was taken back cannot open again, or None."""
        self._drained = drained
        refusal = None
        for name in sorted(self._closed - drained.keys()):
            try:
                self._reopen(name)
            except BindError as error:
                refusal = f"listener {name} stays closed: {error}"
                log.error("%s", refusal)
        now = time.monotonic()
        for drain in drained.values():
            if drain["closes"] is not None:
                self._supervisor.timers.after(max(0.0, drain["closes"] - now), self._close_due)
        return refusal

    def close_all(self) -> list[str]:
        """The end of the instance: every queue is emptied before its socket goes, but for those that systemd holds.
        Returns the names of the sockets that end.
        """
        ending = [address for address in self._supervisor.sockets.addresses if not address.held]
        names = [name for address in ending for name in address.names]
        self._close(ending)
        return names

    def _close_due(self) -> None:
        now = time.monotonic()
        due = {
            name
            for name, drain in self._drained.items()
            if drain["closes"] is not None and drain["closes"] <= now and name not in self._closed
        }
        if not due:
            return
        log.info("closing %s: connections that are open stay", ", ".join(sorted(due)))
        self._closed |= due
        self.stopped += len(due)
        self._close([address for address in self._supervisor.sockets.addresses if address.listener.name in due])
        self._supervisor.tell_state()

    def _close(self, addresses: list[AddressSockets]) -> None:
        now = time.monotonic()
        waiting = bool(self._closing)
        for address in addresses:
            try:
                address.refuse()
            except OSError as error:  # connections that come now may be reset, which is no reason to go on listening
                log.warning("cannot refuse connections to %s before closing it: %s", address.bound(), error)
            self._closing.append((address, now + (0 if address.local else HANDSHAKE_GRACE)))
        if not waiting:
            self._shut_empty()

    def _shut_empty(self) -> None:
        """Shut down whose queue is empty, and come back for the others: their workers may be dead and will be replaced,
        or their siblings accept for them.
        """
        now = time.monotonic()
        left = []
        for address, settled in self._closing:
            if now >= settled and address.empty:
                address.shutdown()
            else:
                left.append((address, settled))
        self._closing = left
        if left:
            self._supervisor.timers.after(LOOK, self._shut_empty)

    def _reopen(self, name: str) -> None:
        supervisor = self._supervisor
        ours = [address for address in supervisor.sockets.addresses if address.listener.name == name]
        self._closing = [(address, settled) for address, settled in self._closing if address not in ours]
        for address in ours:
            new = address.reopen(range(supervisor.workforce.listening))
            named = {address.name(key): sock.fileno() for key, sock in new.items()}
            if named:
                supervisor.workforce.give_sockets(named)
        self._closed.discard(name)
        log.info("listener %s is open again", name)
