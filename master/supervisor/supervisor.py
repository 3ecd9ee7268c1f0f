"""The supervisor: owns what must outlive its children, and keeps the generations of template, controller and workers.

Read `run` first: one loop over signals, channels, deaths and timers. Nothing here blocks, and nothing parses bytes that
came from a network. What one generation is made of is in `generation.py`, the hot restart in `restart.py`.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Collection
from typing import Any

from master.supervisor import hang_watch, log_file, questions, reload_sequence, restart_request, template_process
from master.supervisor.adoption import Adoptions
from master.supervisor.child import Child
from master.supervisor.children import Children
from master.supervisor.committed import Committed
from master.supervisor.draining import ListenerDrains
from master.supervisor.generation import Generation, Plan, replace_fd
from master.supervisor.history import History
from master.supervisor.listening import ListenSockets
from master.supervisor.memory import SUPERVISOR_SLOT, Memory, Tables
from master.supervisor.memory_watch import MemoryWatch
from master.supervisor.options import Options
from master.supervisor.python import OWN
from master.supervisor.reload import Reload, Request
from master.supervisor.restart import Restart
from master.supervisor.restart_sequence import EXIT_STOPPED, Event, Failed, Phase
from master.supervisor.runtime_dir import RuntimeDir
from master.supervisor.signals import SignalQueue
from master.supervisor.sockets import SocketPool
from master.supervisor.systemd.notify import Notifier
from master.supervisor.systemd.reporter import Reporter
from master.supervisor.timers import Timers
from proxy import log as process_log
from shm.processes import State, Word

log = logging.getLogger("supervisor")

TICK = 0.25  # seconds between looks at the heartbeats
READY_DEADLINE = (
    30.0  # a controller that has not initialised by then (Envoy: 15 s of initial fetch) no longer holds up the start
)
REPORT_GRACE = 5.0  # seconds after which nobody waits for processes that ignore SIGKILL


class Supervisor:
    """One instance's process tree. `run` returns the exit code."""

    def __init__(
        self,
        options: Options,
        directory: RuntimeDir,
        pool: SocketPool,
        memory: Memory,
        signals: SignalQueue,
        notifier: Notifier,
    ) -> None:
        self.options = options
        self.directory = directory
        self.pool = pool
        self.memory = memory
        self.signals = signals
        self.timers = Timers()
        self.children = Children(signals.fileno())
        self.state = "INITIALIZING"
        self.generations: list[Generation] = []  # oldest first
        self.leader: Generation | None = None  # whose controller answers the admin interface
        self.counters_base: int | None = None  # sealed memfd: the counters at the last reset
        self.orders: dict[str, Any] = {}  # standing orders by name: for everybody who lives, and who starts later
        self.drains = ListenerDrains(self)
        self.adoptions = Adoptions(
            lambda: self.serving.workforce.adopters(),
            lambda worker, message, fds: self.children.send(worker, message, give=fds),
        )
        self.history = History()
        self.reload = Reload(self)
        self.restart = Restart(self)
        self.memory_watch = MemoryWatch(self)
        self.systemd = Reporter(self, notifier)
        self._controller_overdue = False
        self._exit_code: int | None = None
        self.stop_deadline = 0.0  # `time.monotonic()` at which everything is killed, once stopping
        self._interrupts = 0
        self._next_tick = 0.0

    # --- the loop -------------------------------------------------------------------------------------------------

    def start(self, committed: Committed, template: template_process.Started) -> None:
        """The first generation. Raises `BindError`."""
        count = self.options.concurrency
        sockets = ListenSockets(self.pool, committed, self.directory.admin_socket, count=count)
        tables = Tables.create(hosts=committed.hosts, clusters=committed.clusters)
        plan = Plan(1, OWN, committed, count)
        self.history.push(committed.fd, "start")
        me = SUPERVISOR_SLOT
        self.memory.describe(
            me, role="supervisor", pid=os.getpid(), index=0, generation=plan.number, started_ns=time.monotonic_ns()
        )
        self.memory.processes.write(me, Word.STATE, State.SERVING)
        self.leader = Generation(self, plan, sockets, tables)
        self.in_effect(self.leader)
        self.generations.append(self.leader)
        self.leader.start(template)
        self.timers.after(READY_DEADLINE, self._start_serving_without_controller)

    def run(self) -> int:
        """Serve until told to stop. Every child has been reaped when this returns."""
        self._next_tick = time.monotonic() + TICK
        while not self._finished():
            self.children.poll(self.timers.wait(max(0.0, self._next_tick - time.monotonic())))
            for number in self.signals.drain():
                self._on_signal(number)
            self.children.reap()
            self.timers.run_due()
            self._tick()
            self.reload.tick()
            self.restart.tick()
            if self.stopping:
                for generation in self.generations:
                    generation.end_if_empty()
        return self._exit_code or 0

    def _finished(self) -> bool:
        if self._exit_code is None:
            return False
        if not self.children:
            return True
        if time.monotonic() > self.stop_deadline + REPORT_GRACE:
            log.error("processes left behind: %s", ", ".join(f"{c.name} (pid {c.pid})" for c in self.children))
            return True
        return False

    def _tick(self) -> None:
        now = time.monotonic()
        if now < self._next_tick:
            return
        own_lag = now - self._next_tick
        self._next_tick = now + TICK
        self.adoptions.expire(now)
        self.memory.processes.write(SUPERVISOR_SLOT, Word.HEARTBEAT_NS, time.monotonic_ns())
        self.memory.processes.write(SUPERVISOR_SLOT, Word.LOOP_LAG_NS, int(own_lag * 1e9))
        self._watch(int(own_lag * 1e9))
        self.memory_watch.tick()
        self.systemd.tick()
        for generation in self.generations:
            if generation.stopping and now > generation.ends_at:
                generation.kill()
        if self._exit_code is not None and now > self.stop_deadline:
            self.children.kill_all()

    def _watch(self, own_lag_ns: int) -> None:
        """Deal with whoever hangs (hang_watch.py)."""
        children = [child for child in self.children if child.role in ("worker", "controller")]
        for child, number in hang_watch.verdicts(children, self.memory.processes, own_lag_ns=own_lag_ns):
            self.children.signal(child, number)
        for generation in self.generations:
            template = generation.template
            if template is not None and hang_watch.template_hangs(template, self.children.spawning(template)):
                self.children.signal(template, signal.SIGKILL)

    # --- signals --------------------------------------------------------------------------------------------------

    def _on_signal(self, number: signal.Signals) -> None:
        if number == signal.SIGTERM:
            log.info("SIGTERM: shutting down gracefully")
            self.stop(0)
        elif number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts == 1:
                log.info("SIGINT: shutting down gracefully; once more to stop at once")
                self.stop(0)
            else:
                log.info("SIGINT again: stopping at once")
                self.stop_now()
        elif number == signal.SIGHUP:
            log.info("SIGHUP: reload")
            if self.reload.ask(Request()) is not None:
                self.systemd.reloading("reload refused")  # systemd waits for the end of what it has asked for
                self.systemd.reloaded()
        elif number == signal.SIGUSR2:
            log.info("SIGUSR2: hot restart")
            self.ask_restart({})
        elif number == signal.SIGUSR1:
            self._reopen_logs()
        elif number in (signal.SIGTTIN, signal.SIGTTOU):
            count = self.serving.workforce.count + (1 if number == signal.SIGTTIN else -1)
            log.info("%s: %d worker(s)", number.name, count)
            refusal = self._refuse_resize()
            if refusal is None:
                self.serving.workforce.resize(count, lambda refusal: log.warning("%s", refusal) if refusal else None)
            else:
                log.warning("%s", refusal)

    def _reopen_logs(self) -> None:
        """The supervisor opens the new `--log-path`, as only it may have the right to; the others get its descriptor.
        Workers reopen their access logs themselves, with or without one.
        """
        path, descriptors = self.options.log_path, []
        if path:
            try:
                log_file.redirect(path)
                descriptors = [log_file.STDERR]
                log.info("reopened %s", path)
            except OSError as error:
                log.error("cannot open %s: %s; going on with the old file", path, error.strerror)
        else:
            log.info("the workers reopen their access logs; there is no --log-path")
        for child in self.children:
            self.children.send(child, {"type": "reopen_logs"}, descriptors)

    # --- stopping -------------------------------------------------------------------------------------------------

    def stop(self, exit_code: int) -> None:
        """Graceful: workers finish their requests (`shutdown_drain_time` at most), then the controller, then all."""
        if self._exit_code is not None:
            return
        self._exit_code = exit_code
        self.state = "DRAINING"
        self.stop_deadline = time.monotonic() + self.options.shutdown_drain_time
        self.restart.on(Failed(EXIT_STOPPED, "the proxy is shutting down"))
        self.reload.on(reload_sequence.Failed(EXIT_STOPPED, "the proxy is shutting down"))
        self.tell_state()
        self.systemd.stopping()
        ending = self.drains.close_all()
        for generation in list(self.generations):
            generation.stop(self.options.shutdown_drain_time, ending)

    def stop_now(self) -> None:
        self.stop_deadline = time.monotonic()
        self.children.kill_all()

    @property
    def stopping(self) -> bool:
        return self._exit_code is not None

    def needs_controller(self, generation: Generation) -> bool:
        """The admin interface stays until every worker of every generation has gone."""
        return generation is self.leader and any(other.workforce.alive() for other in self.generations)

    # --- generations ----------------------------------------------------------------------------------------------

    @property
    def serving(self) -> Generation:
        """The generation that accepts connections, or will as the first one."""
        return next((g for g in reversed(self.generations) if g.state == "serving"), self.generations[0])

    @property
    def draining(self) -> list[Generation]:
        """Those that end once their connections have."""
        return [generation for generation in self.generations if generation.state == "draining"]

    def on_progress(self, generation: Generation) -> None:
        """A worker or the controller has become ready."""
        if generation.state != "starting" or self.stopping:
            return
        if self.state != "INITIALIZING":
            self.restart.on_candidate_progress()
        elif generation.workforce.all_ready() and (self._controller_overdue or generation.controller_ready):
            generation.serve()
            self.state = "LIVE"
            for name, addresses in generation.sockets.bound():
                log.info("listener %s on %s", name, ", ".join(addresses))
            log.info("all dependencies initialized: serving with %d worker(s)", generation.workforce.count)
            self.systemd.ready()
            self.tell_state()

    def _start_serving_without_controller(self) -> None:
        if self.state == "INITIALIZING" and not self.serving.controller_ready:
            log.error("the controller has not initialised within %.0f s; serving without it", READY_DEADLINE)
            self._controller_overdue = True
            self.on_progress(self.serving)

    def on_start_failed(self, generation: Generation, reason: str) -> None:
        """Its processes keep dying before it serves."""
        if self.state == "INITIALIZING":
            log.error("start failed: %s", reason)
            self.stop(1)
        else:
            self.restart.on(Failed(1, reason))

    def on_retired(self, generation: Generation) -> None:
        """Its controller writes nothing any more that only one may write."""
        if self.handing_over(generation):
            self.restart.on(Event.RETIRED)

    def handing_over(self, generation: Generation) -> bool:
        """Somebody waits for its controller to let go."""
        return generation is self.leader and self.restart.progress.phase == Phase.HANDOVER

    def on_gone(self, generation: Generation) -> None:
        """Its last process has ended."""
        if generation not in self.generations:
            return
        if not self.stopping:
            log.info("generation %d is gone", generation.number)
        self.generations.remove(generation)
        self.tell_state()
        generation.workforce.close()
        for slot in generation.slots.values():
            self.release_slot(slot)
        if self.generations:  # else `main` closes them all
            self.release_unused(generation.sockets.in_use())
        generation.close()

    def release_unused(self, keys: Collection[str]) -> None:
        """Close those of these addresses that no generation has any more."""
        used = {key for generation in self.generations for key in generation.sockets.in_use()}
        for key in set(keys) - used:
            if key in self.pool.addresses:
                self.pool.release(key)

    def in_effect(self, generation: Generation) -> None:
        """The last configuration of the history is that of `generation`."""
        generation.config_version = self.history.version
        self.memory.processes.write(SUPERVISOR_SLOT, Word.CONFIG_VERSION, self.history.version)
        committed = generation.committed
        self.reload.effects.begin(
            listeners=len(committed.listeners), clusters=committed.clusters, workers=generation.workforce.count
        )

    # --- shared memory --------------------------------------------------------------------------------------------

    def announce_region(self, slot: int) -> None:
        fds = [os.dup(self.memory.region(slot)), os.dup(self.memory.ring(slot))]
        self.tell_leader({"type": "region", "slot": slot}, give=fds)

    def renew_region(self, slot: int) -> None:
        self._tell_ended(slot, self.memory.end_region(slot))
        self.announce_region(slot)

    def release_slot(self, slot: int) -> None:
        self._tell_ended(slot, self.memory.release_slot(slot))

    def _tell_ended(self, slot: int, serial: int | None) -> None:
        if serial is not None:
            self.tell_leader({"type": "ended", "slot": slot, "serial": serial})

    # --- the controller that leads --------------------------------------------------------------------------------

    def leadership(self, generation: Generation) -> tuple[dict[str, int], dict[str, Any]]:
        """What the leading controller gets: named descriptors, and the message."""
        memory = self.memory
        memory.region(generation.slots["controller"])  # its own too, though it may still wait for a template
        named = {
            **generation.sockets.admin_named(),
            **{f"region/{slot}": fd for slot, fd in memory.regions.items()},
            **{f"ring/{slot}": fd for slot, fd in memory.rings.items()},
            **{f"ended/{serial}": fd for serial, fd in memory.ended.items()},
            **({"counters_base": self.counters_base} if self.counters_base is not None else {}),
        }
        return named, {"type": "lead", "orders": self.orders, **self._state_message(generation)}

    def _state_message(self, generation: Generation) -> dict[str, Any]:
        return {
            "state": self.state,
            "listeners": generation.sockets.bound(),
            "stopped": self.drains.stopped,
            "generations": [(one.number, one.state, one.ends_at) for one in self.generations],
            "restart": self.restart.status(),
        }

    def tell_state(self) -> None:
        if self.leader is not None:
            self.tell_leader({"type": "state", **self._state_message(self.leader)})

    def tell_leader(self, message: dict[str, Any], *, give: list[int] | None = None) -> None:
        controller = self.leader.controller if self.leader is not None else None
        if controller is not None:
            self.children.send(controller, message, give=give or ())
            return
        for fd in give or ():
            os.close(fd)

    def on_controller_message(
        self, generation: Generation, child: Child, message: dict[str, Any], fds: list[int]
    ) -> None:
        """What concerns the whole instance."""
        kind = message["type"]
        if kind == "order":
            refusal = self._give_order(message["name"], message["value"])
            if "request" in message:
                self._answer(child, message["request"], refusal)
        elif kind == "counters_base":
            self.counters_base = replace_fd(self.counters_base, fds)
        elif kind == "reopen_logs":
            self._reopen_logs()
        elif kind == "workers":
            self._resize(generation, child, message["count"], message["request"])
        elif kind == "reload":
            request = Request(message["why"], show=message["show"], version=message["config"])
            self._answer(child, message["request"], self.reload.ask(request))
        elif kind in questions.KINDS:
            questions.pass_on(self, message)
        elif kind == "restart":
            self._answer(child, message["request"], self.ask_restart(message))
        elif kind == "shutdown":
            log.info("shutdown requested through the admin interface")
            self.stop(0)
            if message.get("now"):
                self.stop_now()
        elif kind == "folded":
            self.memory.folded(message["serial"])

    def _answer(self, child: Child, request: int, refusal: str | None) -> None:
        if child in self.children:
            self.children.send(child, {"type": "answer", "request": request, "refusal": refusal})

    def _resize(self, generation: Generation, child: Child, count: int, request: int) -> None:
        refusal = self._refuse_resize()
        if refusal is not None:
            self._answer(child, request, refusal)
        else:
            generation.workforce.resize(count, lambda refusal: self._answer(child, request, refusal))

    def _refuse_resize(self) -> str | None:
        if self.reload.busy:
            return "a reload is in progress; try again when it is done"
        return "a hot restart is in progress; try again when it is done" if self.restart.busy else None

    def ask_restart(self, message: dict[str, Any]) -> str | None:
        """Begin a hot restart; the reason if not."""
        try:
            request = restart_request.read(message, self.directory.path)
        except (ValueError, KeyError, TypeError, OSError) as error:
            log.warning("restart refused: %s", error)
            return str(error)
        return self.restart.ask(request)

    def _give_order(self, name: str, value: Any) -> str | None:
        """Returns what could not be done, or None."""
        self.orders[name] = value
        if name == "log":
            process_log.set_levels(value["levels"])
        elif name == "drain" and value:
            self.restart.on(Failed(EXIT_STOPPED, "listeners were drained meanwhile"))
        for generation in self.generations:
            for worker in generation.workforce.everyone():
                self.children.send(worker, {"type": "order", "name": name, "value": value})
        # The workers first: whoever is accepted while the queues are emptied is told to leave.
        return self.drains.obey(value) if name == "drain" else None
