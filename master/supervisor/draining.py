"""Closing listeners so that nobody is reset (`listen_queue.py`), at once or when their drain ends, and reopening them.

The standing order `drain` says which listeners drain, until when, and which of them close then (`Drained`). The workers
read the same order for what they tell their clients; the sockets are the supervisor's part.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, TypedDict

from master.supervisor.bind import BindError
from master.supervisor.sockets import AddressSockets

if TYPE_CHECKING:
    from master.supervisor.generation import Generation
    from master.supervisor.supervisor import Supervisor

log = logging.getLogger("supervisor")

LOOK = 0.02  # seconds between looks at queues that are being emptied
HANDSHAKE_GRACE = 0.2  # seconds for connections whose SYN came before the end and whose ACK is on its way
CLOSE_DEADLINE = 15.0  # seconds for a queue to be emptied; a worker that hangs has been replaced by then


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
        self._closing: dict[AddressSockets, float] = {}  # since when nobody new comes

    @property
    def busy(self) -> bool:
        """Queues are being emptied."""
        return bool(self._closing)

    def closing(self, address: AddressSockets) -> bool:
        """Whether its queue is being emptied."""
        return address in self._closing

    def closed(self, listener: str) -> bool:
        """Whether its drain has closed it."""
        return listener in self._closed

    def forget(self, names: Collection[str]) -> None:
        """Only these listeners exist from now on."""
        gone = self._drained.keys() - names
        if gone:
            kept = {name: drain for name, drain in self._drained.items() if name in names}
            self._supervisor.orders["drain"] = self._drained = kept
            self._closed &= kept.keys()

    def obey(self, drained: Mapping[str, Drained]) -> str | None:
        """Exactly these listeners drain. Returns why one whose drain was taken back cannot open again, or None."""
        undone = self._closed - drained.keys()
        self._drained = drained
        self._wait_for_ends()
        refusals = [self._reopen(name) for name in sorted(undone)]
        return "; ".join(refusal for refusal in refusals if refusal) or None

    def reset(self, generation: Generation) -> None:
        """The listeners of a new generation are open, as they were configured. Its workers do not poll them yet."""
        if "drain" in self._supervisor.orders:
            self._supervisor.orders["drain"] = {}
            for worker in generation.workforce.everyone():
                generation.send(worker, {"type": "order", "name": "drain", "value": {}})
        self._drained, closed, self._closed = {}, self._closed, set()
        if not closed:
            return
        try:
            generation.workforce.give_sockets(generation.sockets.reopen())
        except BindError as error:
            log.error("a listener that was closed stays so: %s", error)

    def resume(self, stopped: int) -> None:
        """Go on after an exec, before which no queue was being emptied (`busy`)."""
        self.stopped = stopped
        self._drained = self._supervisor.orders.get("drain", {})
        bounds = self._supervisor.serving.sockets.bounds
        self._closed = {bound.listener.name for bound in bounds if bound.sockets.closed}
        self._wait_for_ends()

    def close_all(self) -> list[str]:
        """The end of the instance: every queue is emptied before its socket goes, but for those that systemd holds.
        Returns what the serving generation calls the sockets that end.
        """
        sockets = self._supervisor.serving.sockets
        ending = [bound.sockets for bound in sockets.bounds if not bound.sockets.held]
        names = sockets.queues(ending)
        self.close(ending)
        return names

    def close(self, addresses: Collection[AddressSockets]) -> None:
        """Let nobody new come, and shut down whose queue is empty, at once or as soon as workers have emptied it."""
        waiting, now = self.busy, time.monotonic()
        for address in addresses:
            try:
                address.refuse()
            except OSError as error:  # connections that come now may be reset, which is no reason to go on listening
                log.warning("cannot refuse connections to %s before it closes: %s", address.bound(), error)
            self._closing.setdefault(address, now)
        if not waiting:
            self._shut_empty()

    def _wait_for_ends(self) -> None:
        now = time.monotonic()
        for drain in self._drained.values():
            if drain["closes"] is not None:
                self._supervisor.timers.after(max(0.0, drain["closes"] - now), self._close_due)

    def _close_due(self) -> None:
        now = time.monotonic()
        due = {name for name, drain in self._drained.items() if drain["closes"] is not None and drain["closes"] <= now}
        due -= self._closed
        if not due or self._supervisor.stopping:
            return
        log.info("closing %s: connections that are open stay", ", ".join(sorted(due)))
        self._closed |= due
        self.stopped += len(due)
        self.close([bound.sockets for bound in self._supervisor.serving.sockets.bounds if bound.listener.name in due])
        self._supervisor.leader.tell_state()

    def _shut_empty(self) -> None:
        """What is not empty yet has a worker that is dead or hangs: its siblings accept for it, or its successor."""
        now = time.monotonic()
        for address, since in list(self._closing.items()):
            settled = address.local or now >= since + HANDSHAKE_GRACE
            if (settled and address.empty) or now >= since + CLOSE_DEADLINE:
                address.shutdown()
                del self._closing[address]
        if self._closing:
            self._supervisor.timers.after(LOOK, self._shut_empty)

    def _reopen(self, name: str) -> str | None:
        workforce, sockets = self._supervisor.serving.workforce, self._supervisor.serving.sockets
        for bound in sockets.bounds:
            if bound.listener.name == name:
                self._closing.pop(bound.sockets, None)
        try:
            new = sockets.reopen({name})
        except BindError as error:
            log.error("listener %s stays closed: %s", name, error)
            return f"listener {name} stays closed: {error}"
        for index in range(workforce.listening):
            sockets.listen(index)  # before anybody polls them: what does not listen is taken for shut down
        workforce.give_sockets(new)
        self._closed.discard(name)
        log.info("listener %s is open again", name)
        return None
