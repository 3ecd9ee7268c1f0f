"""The supervisor: owns what must outlive its children, and keeps the generations of template, controller and workers.

Read `run` first: one loop over signals, channels, deaths and timers. Nothing here blocks, and nothing parses bytes that
came from a network. What the instance is told to do is in `commands.py`, what one generation is made of in
`generation.py`, the hot restart in `restart.py`.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Collection
from typing import Any

from master.supervisor import hang_watch, reload_sequence, template_process
from master.supervisor.adoption import Adoptions
from master.supervisor.children import Children
from master.supervisor.commands import Commands
from master.supervisor.committed import Committed
from master.supervisor.draining import ListenerDrains
from master.supervisor.generation import Generation, Plan
from master.supervisor.history import History
from master.supervisor.leader import Leader
from master.supervisor.listening import ListenSockets
from master.supervisor.memory import SUPERVISOR_SLOT, Memory, Tables
from master.supervisor.memory_watch import MemoryWatch
from master.supervisor.options import Options
from master.supervisor.python import OWN
from master.supervisor.reload import Reload
from master.supervisor.restart import Restart
from master.supervisor.restart_sequence import EXIT_STOPPED, Failed
from master.supervisor.runtime_dir import RuntimeDir
from master.supervisor.signals import SignalQueue
from master.supervisor.sockets import SocketPool
from master.supervisor.systemd.notify import Notifier
from master.supervisor.systemd.reporter import Reporter
from master.supervisor.timers import Timers
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
        self.leader = Leader(self)
        self.orders: dict[str, Any] = {}  # standing orders by name: for everybody who lives, and who starts later
        self.drains = ListenerDrains(self)
        self.adoptions = Adoptions(
            lambda: self.serving.workforce.adopters(),
            lambda worker, message, fds: self.children.send(worker, message, give=fds),
        )
        self.commands = Commands(self)
        self.history = History()
        self.reload = Reload(self)
        self.restart = Restart(self)
        self.memory_watch = MemoryWatch(self)
        self.systemd = Reporter(self, notifier)
        self._controller_overdue = False
        self._exit_code: int | None = None
        self.stop_deadline = 0.0  # `time.monotonic()` at which everything is killed, once stopping
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
        first = self.leader.generation = Generation(self, plan, sockets, tables)
        self.in_effect(first)
        self.generations.append(first)
        first.start(template)
        self.timers.after(READY_DEADLINE, self._start_serving_without_controller)

    def run(self) -> int:
        """Serve until told to stop. Every child has been reaped when this returns."""
        self._next_tick = time.monotonic() + TICK
        while not self._finished():
            self.children.poll(self.timers.wait(max(0.0, self._next_tick - time.monotonic())))
            for number in self.signals.drain():
                self.commands.on_signal(number)
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
            template = generation.spawning.template
            if template is not None and hang_watch.template_hangs(template, self.children.spawning(template)):
                self.children.signal(template, signal.SIGKILL)

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
        self.leader.tell_state()
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
            self.leader.tell_state()

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

    def on_gone(self, generation: Generation) -> None:
        """Its last process has ended."""
        if generation not in self.generations:
            return
        if not self.stopping:
            log.info("generation %d is gone", generation.number)
        self.generations.remove(generation)
        self.leader.tell_state()
        generation.workforce.close()
        for slot in generation.slots.values():
            self.leader.release_slot(slot)
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
