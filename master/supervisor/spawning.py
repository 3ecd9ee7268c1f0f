"""How one generation comes by its processes: its template, and what the template is ordered to fork."""

from __future__ import annotations

import logging
import signal
import time
from typing import TYPE_CHECKING, Any

from master.supervisor import template_process
from master.supervisor.child import Child, Outbox
from master.supervisor.respawn import Backoff
from shm import channel
from shm.processes import State, Word

if TYPE_CHECKING:
    from master.supervisor.generation import Generation

log = logging.getLogger("supervisor")


class Spawning:
    """`template` is None while there is none; who is to be forked then waits for the next one."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._supervisor = generation.supervisor
        self._backoff = Backoff()
        self._waiting: list[Child] = []
        self.template: Child | None = None
        self.fingerprint = ""  # of the code that the template has loaded

    def start_template(self) -> None:
        try:
            self.adopt(template_process.start(self._generation.code, self._supervisor.options.log_level))
        except OSError as error:  # its interpreter is gone from the disk
            log.error("cannot start a template of generation %d: %s", self._generation.number, error)
            self._generation.respawn_later("template", self._backoff.died(lived=0.0, ready=False), self.start_template)

    def adopt(self, started: template_process.Started) -> None:
        """`started` is the template from now on."""
        children = self._supervisor.children
        slot = self._generation.slots["template"]
        self.template = Child(self._generation, "template", Outbox(started.sock), pid=started.pid, slot=slot)
        children.add(self.template)
        children.watch(self.template)
        self._describe(self.template)

    def spawn(self, child: Child) -> None:
        """Have the template fork `child`, now or as soon as there is a template."""
        self._supervisor.children.watch(child)
        if self.template is None or self.template.state != "ready":
            self._waiting.append(child)
        else:
            self._order(self.template, child)

    def take_waiting(self) -> list[Child]:
        """Those that are not ordered yet, and will not be."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def on_message(self, template: Child, message: dict[str, Any]) -> None:
        if message["type"] == "ready":
            template.state = "ready"
            self.fingerprint = self.fingerprint or message.get("fingerprint", "")
            self._supervisor.memory.processes.write(template.slot, Word.STATE, State.SERVING)
            for child in self.take_waiting():
                self._order(template, child)
        elif message["type"] == "spawned":
            spawned = self._supervisor.children.spawned(message["sequence"], message["pid"])
            if spawned is not None:
                self._describe(spawned)
                if self._generation.stopping:
                    self._supervisor.children.signal(spawned, signal.SIGKILL)

    def on_template_death(self, template: Child, lived: float) -> list[Child]:
        """Start another one, unless the generation ends. Returns those who were ordered and will not be forked."""
        self.template = None
        lost = self._supervisor.children.take_lost(template)
        if not self._generation.stopping:
            self._supervisor.memory.add_restart(template.slot)
            delay = self._backoff.died(lived=lived, ready=template.state == "ready")
            self._generation.respawn_later("template", delay, self.start_template)
            self._generation.give_up_if_start_failed(self._backoff, template)
        return lost

    def _order(self, template: Child, child: Child) -> None:
        """Send the template everything that the new process inherits, then the order itself."""
        generation, supervisor = self._generation, self._supervisor
        child.started_ns = time.monotonic_ns()
        inherited = {
            "processes": supervisor.memory.processes_fd,
            "hosts": generation.tables.hosts,
            "clusters": generation.tables.clusters,
            "config": generation.committed.fd,
            "region": supervisor.memory.region(child.slot),
            **generation.published(),
        }
        if child.role == "worker":
            inherited |= generation.sockets.named()
            inherited["ring"] = supervisor.memory.ring(child.slot)
        else:
            inherited["base"] = supervisor.memory.base
            inherited |= self._before()
        message = {
            "type": "spawn",
            "sequence": supervisor.children.ordered(child, template),
            "role": child.role,
            "index": child.index,
            "slot": child.slot,
            "generation": generation.number,
            "user": supervisor.options.user,
            "group": supervisor.options.group,
            "options": supervisor.options.to_json(),
            "orders": supervisor.orders,
            "config_version": generation.config_version,
            "deltas": True,  # an older supervisor does not know them
        }
        try:
            template.outbox.send_fds(inherited)
            template.outbox.send({"type": "fds", "names": ["channel"]}, give=[child.far_end])
            child.far_end = -1
            template.outbox.send(message)
        except channel.ChannelClosedError:
            log.error("the template no longer reads its channel; replacing it")
            supervisor.children.signal(template, signal.SIGKILL)

    def _before(self) -> dict[str, int]:
        """What a controller that starts takes over from the generation that serves meanwhile (`carried.py`)."""
        before = self._supervisor.serving
        if self._generation.state != "starting" or before is self._generation:
            return {}
        named = {"hosts": before.tables.hosts, "config": before.committed.fd, **before.published()}
        return {f"before/{name}": fd for name, fd in named.items()}

    def _describe(self, child: Child) -> None:
        self._supervisor.memory.describe(
            child.slot,
            role=child.role,
            pid=child.pid,
            index=child.index,
            generation=self._generation.number,
            started_ns=child.started_ns,
        )
