"""One generation: its code, its configuration, and the template, controller and workers that run it.

A generation starts beside its predecessor, whose listening sockets it shares, serves from `serve` on, and drains when
its successor serves. Everything that belongs to the whole instance (`supervisor`) outlives it.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from master.supervisor import questions, template_process
from master.supervisor.child import Child
from master.supervisor.children import describe, replace_fd
from master.supervisor.committed import Committed
from master.supervisor.listening import ListenSockets
from master.supervisor.memory import Tables
from master.supervisor.python import Code
from master.supervisor.reload_sequence import Failed as ReloadFailed
from master.supervisor.respawn import Backoff
from master.supervisor.spawning import Spawning
from master.supervisor.workforce import Workforce

if TYPE_CHECKING:
    from master.supervisor.supervisor import Supervisor

log = logging.getLogger("supervisor")

MAX_EARLY_DEATHS = 3  # of one process before the generation serves: its start has failed
END_GRACE = 5.0  # seconds between the order to end and SIGKILL
EXIT_FAILED = 1
HANDOVER_GRACE = 5.0  # seconds for a controller to let go of what only one may hold

State = Literal["starting", "serving", "draining", "ending"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a generation is started from."""

    number: int
    code: Code
    committed: Committed
    count: int  # of workers


class Generation:
    def __init__(self, supervisor: Supervisor, plan: Plan, sockets: ListenSockets, tables: Tables) -> None:
        self.supervisor = supervisor
        self.number = plan.number
        self.code = plan.code
        self.committed = plan.committed
        self.sockets = sockets
        self.tables = tables
        self.state: State = "starting"
        self.config_version = 0  # of `committed`, in the history
        self.endpoints: int | None = None  # sealed memfd: the hosts, when all were last published
        self.endpoints_delta: int | None = None  # sealed memfd: what has changed since
        self.spawning = Spawning(self)
        self.controller: Child | None = None
        self.workforce = Workforce(self, plan.count)
        self.ends_at = 0.0  # draining or ending: whoever is left then is killed (time.monotonic)
        self._killed = False
        self.deaths = 0  # of its processes, where nobody had told them to end
        self.last_death = ""
        self.slots: dict[str, int] = {}  # of template and controller, by role
        self._backoff = Backoff()  # of the controller

    def start(self, template: template_process.Started | None = None) -> None:
        """Begin all processes; the template may run already."""
        for role in ("controller", "template"):
            slot = self.supervisor.memory.take_slot()
            assert slot is not None  # the number of slots was looked at before
            self.slots[role] = slot
        if template is None:
            self.spawning.start_template()
        else:
            self.spawning.adopt(template)
        self._start_controller()
        self.workforce.start()

    def complete(self) -> None:
        """After an exec: start whom the predecessor was about to start again."""
        if self.stopping:
            return
        if self.spawning.template is None:
            self.spawning.start_template()
        if self.controller is None:
            self._start_controller()
        self.workforce.start()

    @property
    def stopping(self) -> bool:
        """No process of this generation is started any more."""
        return self.supervisor.stopping or self.state in ("draining", "ending")

    @property
    def controller_ready(self) -> bool:
        return self.controller is not None and self.controller.state == "ready"

    @property
    def ready(self) -> bool:
        return self.controller_ready and self.workforce.all_ready()

    @property
    def gone(self) -> bool:
        return self.spawning.template is None and self.controller is None and not self.workforce.alive()

    def children(self) -> list[Child]:
        """Everybody who lives or will."""
        leaders = [child for child in (self.spawning.template, self.controller) if child is not None]
        return [*leaders, *self.workforce.everyone()]

    # --- its life -------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """All workers accept connections from now on."""
        self.state = "serving"
        self.workforce.serve()

    def try_one(self) -> None:
        """One worker accepts beside those of the generation that serves, which know nothing of it."""
        self.workforce.try_one(self.sockets.canary())

    def drain(self, deadline: float, ending: Sequence[str], hand_over: Sequence[str]) -> None:
        """Accept nothing any more but what waits in the sockets `ending`; connections may end by themselves for
        `deadline` seconds. Idle ones of the listeners `hand_over` go to the successor.
        """
        self._stop_starting("draining", deadline)
        self.workforce.drain(deadline, ending, hand_over)
        self.end_if_empty()

    def end(self) -> None:
        """It never served: away with it."""
        self._stop_starting("ending", 0.0)
        for worker in self.workforce.everyone():
            worker.state = "draining"
            self.send(worker, {"type": "stop"})
        self.end_if_empty()

    def stop(self, deadline: float, ending: Sequence[str]) -> None:
        """The instance stops: requests in hand get `deadline` seconds. Who serves empties the sockets `ending`."""
        serves = self.state == "serving"
        self._stop_starting(self.state if self.state != "starting" else "ending", deadline)
        self.workforce.stop(deadline, ending if serves else (), sweep=serves)
        self.end_if_empty()

    def _stop_starting(self, state: State, deadline: float) -> None:
        self.state = state
        self.ends_at = time.monotonic() + deadline + END_GRACE
        for child in self.spawning.take_waiting():
            self.supervisor.children.abandon(child)
            if child is self.controller:
                self.controller = None
            else:
                self.workforce.forget(child)

    def end_if_empty(self) -> None:
        """Once stopping: after the workers the controller ends, and last the template."""
        if not self.stopping or self.workforce.alive():
            return
        controller = self.controller
        if controller is not None and controller.pid and controller.state != "draining":
            if not self.supervisor.leader.needs(self):
                controller.state = "draining"
                self.send(controller, {"type": "stop"})
        elif controller is None and self.spawning.template is not None:
            self.spawning.template.outbox.close_writing()

    def close(self) -> None:
        """Nobody is left: give up what was its own."""
        os.close(self.committed.fd)
        if self.endpoints is not None:
            os.close(self.endpoints)
        self.forget_delta()
        self.tables.close()

    def kill(self) -> None:
        """Its time is over. Called again and again until they are dead."""
        if self.state != "ending" and not self._killed:
            who = ", ".join(f"{child.name} (pid {child.pid})" for child in self.children())
            log.warning("generation %d has not ended in time: killing %s", self.number, who)
        self._killed = True
        for child in self.children():
            self.supervisor.children.signal(child, signal.SIGKILL)

    # --- its controller and the rest of the instance ----------------------------------------------------------------

    def lead(self) -> None:
        """Its controller becomes the one that answers the admin interface and folds the metrics of the ended."""
        if self.controller is not None:
            named, message = self.supervisor.leader.introduction(self)
            self.send(self.controller, message, named=named)
            self.supervisor.reload.tell()

    def retire_controller(self) -> None:
        """Its controller lets go of all that; `Leader.on_retired` follows, at the latest with its death."""
        controller = self.controller
        if controller is None or not controller.pid:
            self.supervisor.leader.on_retired(self)
            return
        controller.state = "draining"
        self.send(controller, {"type": "retire"})
        self.supervisor.timers.after(HANDOVER_GRACE, lambda: self._kill_unless_retired(controller))

    def _kill_unless_retired(self, controller: Child) -> None:
        if self.supervisor.leader.is_awaited(self):
            self.supervisor.children.signal(controller, signal.SIGKILL)

    # --- starting processes -----------------------------------------------------------------------------------------

    def send(
        self,
        child: Child,
        message: dict[str, Any],
        *,
        give: Sequence[int] = (),
        named: Mapping[str, int] | None = None,
    ) -> None:
        self.supervisor.children.send(child, message, give=give, named=named)

    def _start_controller(self) -> None:
        if self.stopping:
            return
        self.controller = Child.create(self, "controller", slot=self.slots["controller"])
        self.spawning.spawn(self.controller)
        if self.supervisor.leader.generation is self:
            self.lead()

    # --- messages ---------------------------------------------------------------------------------------------------

    def on_message(self, child: Child, message: dict[str, Any], fds: list[int]) -> None:
        kind = message.get("type")
        if kind == "failed":
            child.failure = str(message["traceback"])
        elif child.role == "template":
            self.spawning.on_message(child, message)
        elif child.role == "worker" and kind == "ready":
            child.state = "ready"
            self.workforce.on_ready(child)
            self.supervisor.adoptions.found()
        elif child.role == "worker" and kind == "connections":
            self.supervisor.adoptions.pass_on(message["listener"], fds)
        elif child.role == "worker" and kind in ("prepared", "refused", "committed"):
            self.supervisor.reload.on_worker(child, message)
        elif child.role == "worker" and kind == "adopted":
            self.supervisor.adoptions.arrived(message["packet"], child)
        elif child.role == "worker" and kind in questions.KINDS:
            questions.pass_back(self.supervisor, child, message)
        elif child.role == "controller":
            self._on_controller_message(child, message, fds)

    def _on_controller_message(self, child: Child, message: dict[str, Any], fds: list[int]) -> None:
        kind = message["type"]
        if kind == "ready":
            child.state = "ready" if child.state == "starting" else child.state
            self.supervisor.on_progress(self)
        elif kind in ("endpoints", "endpoints_delta"):
            self._publish(kind, fds)
        elif kind == "placed":
            self.supervisor.reload.on_placed(message, fds)
        elif kind == "place_failed":
            self.supervisor.reload.on(ReloadFailed(EXIT_FAILED, f"the controller: {message['reason']}"))
        elif kind == "retired":
            self.supervisor.leader.on_retired(self)
        else:
            self.supervisor.commands.on_message(self, child, message, fds)

    def _publish(self, kind: str, fds: list[int]) -> None:
        if kind == "endpoints":
            published = self.endpoints = replace_fd(self.endpoints, fds)
            self.forget_delta()
        else:
            published = self.endpoints_delta = replace_fd(self.endpoints_delta, fds)
        for worker in self.workforce.everyone():
            # A copy each: this descriptor may be replaced while a message still waits to be sent.
            self.send(worker, {"type": kind}, give=(os.dup(published),))

    def published(self) -> dict[str, int]:
        """What was published last, for whoever starts later."""
        named = {"endpoints": self.endpoints, "endpoints_delta": self.endpoints_delta}
        return {name: fd for name, fd in named.items() if fd is not None}

    def forget_delta(self) -> None:
        """All hosts are published anew: nothing has changed since."""
        if self.endpoints_delta is not None:
            os.close(self.endpoints_delta)
        self.endpoints_delta = None

    # --- deaths -----------------------------------------------------------------------------------------------------

    def on_death(self, child: Child, status: int) -> None:
        lived = (time.monotonic_ns() - child.started_ns) / 1e9
        if not (self.stopping or child.state == "draining"):
            log.error("%s (pid %d) died: %s%s", child.name, child.pid, describe(status), _indented(child.failure))
            self.deaths += 1
            last_line = child.failure.strip().rpartition("\n")[2]
            self.last_death = f"{child.name}: {describe(status)}" + (f", {last_line}" if last_line else "")
        self.supervisor.reload.on_death(child)
        self.supervisor.memory.after_death(child.slot)
        self.tables.after_death(child.slot)
        if child.role == "worker":
            self.workforce.on_death(child, lived)
        elif child.role == "controller":
            self._controller_died(child, lived)
        else:
            self._template_died(child, lived)
        self.end_if_empty()
        if self.gone and self.stopping:
            self.supervisor.on_gone(self)

    def _controller_died(self, child: Child, lived: float) -> None:
        self.controller = None
        if self.supervisor.leader.is_awaited(self):
            self.supervisor.leader.on_retired(self)
        if self.stopping:
            return
        self.supervisor.memory.add_restart(child.slot)
        delay = self._backoff.died(lived=lived, ready=child.state == "ready")
        self.respawn_later("controller", delay, self._start_controller)
        self.give_up_if_start_failed(self._backoff, child)

    def _template_died(self, child: Child, lived: float) -> None:
        for orphan in self.spawning.on_template_death(child, lived):
            if orphan.role == "worker" or self.stopping:
                self.workforce.on_lost(orphan)
            else:
                self._start_controller()

    def respawn_later(self, what: str, delay: float, action: Callable[[], None]) -> None:
        if delay:
            log.warning("%s starts again in %.1f s", what, delay)
        self.supervisor.timers.after(delay, lambda: None if self.stopping else action())

    def give_up_if_start_failed(self, backoff: Backoff, child: Child) -> None:
        if self.state == "starting" and child.state == "starting" and backoff.early_deaths >= MAX_EARLY_DEATHS:
            failure = child.failure.strip().rpartition("\n")[2]
            words = f"{child.name} died {backoff.early_deaths} times before it was ready"
            self.supervisor.on_start_failed(self, f"{words}: {failure}" if failure else words)


def _indented(text: str) -> str:
    return "".join(f"\n    {line}" for line in text.rstrip().splitlines())
