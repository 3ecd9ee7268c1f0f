"""What systemd is told about the supervisor, and when."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from master.supervisor.systemd import status, watchdog
from master.supervisor.systemd.notify import Notifier

if TYPE_CHECKING:
    from master.supervisor.supervisor import Supervisor

STATUS_EVERY_NS = 1_000_000_000  # a status line costs systemd a broadcast on its bus


class Reporter:
    """`activity` is what the supervisor does besides serving ("reloading"); while it is set, it is the status."""

    def __init__(self, supervisor: Supervisor, notifier: Notifier) -> None:
        self.notifier = notifier
        self.activity: str | None = None
        self._supervisor = supervisor
        self._watchdog = watchdog.Watchdog(watchdog.interval_ns(os.environ, os.getpid()))
        self._next_status_ns = 0

    def ready(self) -> None:
        """Serving, for the first time or again after `reloading`."""
        self.notifier.ready(self.line())

    def stopping(self) -> None:
        self.activity = None
        self.notifier.stopping(self.line())

    def reloading(self, what: str) -> None:
        """Until `reloaded`: systemd waits for it, and says meanwhile that the unit is reloading."""
        self.activity = what
        self.notifier.reloading(what)

    def reloaded(self) -> None:
        """The reload is over, whether it succeeded or changed nothing."""
        self.activity = None
        if not self._supervisor.stopping:  # systemd must not take a READY for the end of the stop
            self.ready()

    def tick(self) -> None:
        """Called by the loop several times a second."""
        self.notifier.flush()
        now_ns = time.monotonic_ns()
        if self._watchdog.due(now_ns) and self._healthy(now_ns):
            self._watchdog.given(now_ns)
            self.notifier.alive()
        if self.notifier.listened_to and now_ns >= self._next_status_ns:
            self._next_status_ns = now_ns + STATUS_EVERY_NS
            self.notifier.status(self.line())

    def _healthy(self, now_ns: int) -> bool:
        """That this is asked shows that the loop runs. While it starts or stops, nobody has to serve: deadlines of
        their own end these.
        """
        supervisor = self._supervisor
        if supervisor.state != "LIVE":
            return True
        return watchdog.somebody_serves(supervisor.memory.processes.live(), now_ns)

    def line(self) -> str:
        supervisor = self._supervisor
        if supervisor.stopping:
            processes = supervisor.memory.processes.live()
            return status.draining(
                connections=sum(process.connections for process in processes),
                seconds_left=supervisor.stop_deadline - time.monotonic(),
            )
        if self.activity is not None:
            return self.activity
        if supervisor.restart.busy:
            progress = supervisor.restart.progress
            return status.restarting(generation=progress.generation, phase=progress.phase)
        generation = supervisor.serving
        workforce = generation.workforce
        if supervisor.state == "INITIALIZING":
            controller = generation.controller_ready
            return status.starting(ready=workforce.ready, workers=workforce.count, controller=controller)
        return status.serving(
            ready=workforce.ready,
            workers=workforce.count,
            bound=generation.sockets.bound(),
            closed=bool(generation.sockets.bounds) and all(bound.sockets.closed for bound in generation.sockets.bounds),
            old={one.number: self._connections(one.number) for one in supervisor.generations if one is not generation},
        )

    def _connections(self, generation: int) -> int:
        processes = self._supervisor.memory.processes.live()
        return sum(process.connections for process in processes if process.generation == generation)
