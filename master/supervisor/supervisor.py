"""The supervisor: keeps the template, the controller and the workers alive, and owns what must outlive them.

Read `run` first: one loop over signals, channels, deaths and timers. Nothing here blocks, and nothing parses bytes that
came from a network. The workforce (how many workers, who accepts where) is in `workforce.py`.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from master.supervisor import hang_watch, log_file, template_process
from master.supervisor.child import Child, Outbox
from master.supervisor.committed import Committed
from master.supervisor.draining import ListenerDrains
from master.supervisor.memory import CONTROLLER_SLOT, SUPERVISOR_SLOT, TEMPLATE_SLOT, Memory
from master.supervisor.options import Options
from master.supervisor.respawn import Backoff
from master.supervisor.signals import SignalQueue
from master.supervisor.sockets import ListenSockets
from master.supervisor.systemd.notify import Notifier
from master.supervisor.systemd.reporter import Reporter
from master.supervisor.timers import Timers
from master.supervisor.workforce import Workforce
from proxy import log as process_log
from shm import channel
from shm.processes import State, Word

log = logging.getLogger("supervisor")

TICK = 0.25  # seconds between looks at the heartbeats
READY_DEADLINE = (
    30.0  # a controller that has not initialised by then (Envoy: 15 s of initial fetch) no longer holds up the start
)
MAX_EARLY_DEATHS = 3  # before the first "ready": the start has failed
REPORT_GRACE = 5.0  # seconds after which nobody waits for processes that ignore SIGKILL


class Supervisor:
    """One instance's process tree. `run` returns the exit code."""

    def __init__(
        self,
        options: Options,
        committed: Committed,
        sockets: ListenSockets,
        memory: Memory,
        signals: SignalQueue,
        notifier: Notifier,
        template: template_process.Started,
    ) -> None:
        self.options = options
        self.committed = committed
        self.sockets = sockets
        self.memory = memory
        self.generation = 1
        self.timers = Timers()
        self.state = "INITIALIZING"
        self.endpoints: int | None = None  # sealed memfd: the last published hosts
        self.counters_base: int | None = None  # sealed memfd: the counters at the last reset
        self.orders: dict[str, Any] = {}  # standing orders by name: for everybody who lives, and who starts later
        self.controller: Child | None = None
        self.workforce = Workforce(self, options.concurrency)
        self.drains = ListenerDrains(self)
        self.systemd = Reporter(self, notifier)
        self._signals = signals
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, Child] = {}  # by pid
        self._spawning: dict[int, Child] = {}  # by sequence number, until the template has told the pid
        self._unclaimed: dict[int, int] = {}  # pid → wait status of deaths that came before the pid was told
        self._sequence = 0
        self._first_template = template
        self._template: Child | None = None
        self._template_backoff = Backoff()
        self._controller_backoff = Backoff()
        self._controller_overdue = False
        self._waiting: list[Child] = []  # to be spawned once the template is ready
        self._exit_code: int | None = None
        self.stop_deadline = 0.0  # `time.monotonic()` at which everything is killed, once stopping
        self._interrupts = 0
        self._next_tick = 0.0

    # --- the loop -------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until told to stop. Every child has been reaped when this returns."""
        self._selector.register(self._signals.fileno(), selectors.EVENT_READ, None)
        me = SUPERVISOR_SLOT
        self.memory.describe(
            me, role="supervisor", pid=os.getpid(), index=0, generation=self.generation, started_ns=time.monotonic_ns()
        )
        self.memory.processes.write(me, Word.STATE, State.SERVING)
        self._adopt_template(self._first_template)
        self._start_controller()
        self.workforce.start()
        self.timers.after(READY_DEADLINE, self._start_serving_without_controller)
        self._next_tick = time.monotonic() + TICK
        while not self._finished():
            for key, events in self._selector.select(self.timers.wait(max(0.0, self._next_tick - time.monotonic()))):
                child: Child | None = key.data
                if child is None:
                    continue
                if events & selectors.EVENT_WRITE:
                    child.outbox.flush()
                if events & selectors.EVENT_READ:
                    self._receive(child)
            for number in self._signals.drain():
                self._on_signal(number)
            self._reap()
            self.timers.run_due()
            self._tick()
            self._update_interest()
        return self._exit_code or 0

    def _finished(self) -> bool:
        if self._exit_code is None:
            return False
        if not self._children and not self._spawning:
            return True
        if time.monotonic() > self.stop_deadline + REPORT_GRACE:
            log.error(
                "processes left behind: %s", ", ".join(f"{c.name} (pid {c.pid})" for c in self._children.values())
            )
            return True
        return False

    def _update_interest(self) -> None:
        """Watch for writability exactly where something waits to be sent."""
        for key in list(self._selector.get_map().values()):
            child: Child | None = key.data
            if child is not None:
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if child.outbox.pending else 0)
                if events != key.events:
                    self._selector.modify(key.fileobj, events, child)

    def _tick(self) -> None:
        now = time.monotonic()
        if now < self._next_tick:
            return
        own_lag = now - self._next_tick
        self._next_tick = now + TICK
        self.memory.processes.write(SUPERVISOR_SLOT, Word.HEARTBEAT_NS, time.monotonic_ns())
        self.memory.processes.write(SUPERVISOR_SLOT, Word.LOOP_LAG_NS, int(own_lag * 1e9))
        self._watch(int(own_lag * 1e9))
        self.systemd.tick()
        if self._exit_code is not None and now > self.stop_deadline:
            self._kill_all()

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
                self.stop_deadline = time.monotonic()
                self._kill_all()
        elif number == signal.SIGHUP:
            self.systemd.reloading("reloading")
            log.warning("SIGHUP: reserved for reloading the configuration, which this version cannot do yet; ignored")
            self.systemd.reloaded()
        elif number == signal.SIGUSR2:
            log.warning("SIGUSR2: reserved for hot restart, which this version cannot do yet; ignored")
        elif number == signal.SIGUSR1:
            self._reopen_logs()
        elif number in (signal.SIGTTIN, signal.SIGTTOU):
            count = self.workforce.count + (1 if number == signal.SIGTTIN else -1)
            log.info("%s: %d worker(s)", number.name, count)
            self.workforce.resize(count, lambda refusal: log.warning("%s", refusal) if refusal else None)

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
        for child in self._children.values():
            self.send(child, {"type": "reopen_logs"}, descriptors)

    # --- stopping -------------------------------------------------------------------------------------------------

    def stop(self, exit_code: int) -> None:
        """Graceful: workers finish their requests (`shutdown_drain_time` at most), then the controller, then all."""
        if self._exit_code is not None:
            return
        self._exit_code = exit_code
        self.state = "DRAINING"
        self.stop_deadline = time.monotonic() + self.options.shutdown_drain_time
        self.tell_state()
        self.systemd.stopping()
        waiting, self._waiting = self._waiting, []
        for child in waiting:
            self._selector.unregister(child.outbox.sock)
            child.abandon()
            if child is self.controller:
                self.controller = None
            else:
                self.workforce.forget(child)
        self.workforce.stop(ending=self.drains.close_all())
        self._stop_rest_if_workers_gone()

    @property
    def stopping(self) -> bool:
        return self._exit_code is not None

    def fail_start(self, reason: str) -> None:
        log.error("start failed: %s", reason)
        self.stop(1)

    def _stop_rest_if_workers_gone(self) -> None:
        if not self.stopping or self.workforce.alive():
            return
        if self.controller is not None and self.controller.pid:
            self.send(self.controller, {"type": "stop"})
        elif self._template is not None:
            self._template.outbox.close_writing()

    def _kill_all(self) -> None:
        for child in list(self._children.values()):
            self._signal(child, signal.SIGKILL)

    def _signal(self, child: Child, number: signal.Signals) -> None:
        # The pid cannot have been reused: it stays ours until _reap has waited for it.
        if child.pid in self._children:
            os.kill(child.pid, number)

    # --- children -------------------------------------------------------------------------------------------------

    def send(
        self,
        child: Child,
        message: dict[str, Any],
        fds: Sequence[int] = (),
        *,
        give: Sequence[int] = (),
        named: Mapping[str, int] | None = None,
    ) -> None:
        """Send to a child, with descriptors of the message itself (`give`: closed here once sent) or named ones ahead
        of it. One that has stopped reading is treated as hung (its death follows).
        """
        try:
            child.outbox.send_fds(named or {})
            child.outbox.send(message, fds, give=give)
        except channel.ChannelClosedError:
            log.error("%s (pid %d) no longer reads its channel; killing it", child.name, child.pid)
            self._signal(child, signal.SIGKILL)

    def _start_template(self) -> None:
        self._adopt_template(template_process.start(self.options.log_level))

    def _adopt_template(self, started: template_process.Started) -> None:
        self._template = Child("template", Outbox(started.sock), pid=started.pid, slot=TEMPLATE_SLOT)
        self._children[started.pid] = self._template
        self._selector.register(started.sock, selectors.EVENT_READ, self._template)
        self._describe(self._template)

    def _describe(self, child: Child) -> None:
        self.memory.describe(
            child.slot,
            role=child.role,
            pid=child.pid,
            index=child.index,
            generation=self.generation,
            started_ns=child.started_ns,
        )

    def _start_controller(self) -> None:
        if self.stopping:
            return
        self.controller = Child.create("controller", slot=CONTROLLER_SLOT)
        self.spawn(self.controller)

    def spawn(self, child: Child) -> None:
        """Have the template fork `child`, now or as soon as there is a template."""
        self._selector.register(child.outbox.sock, selectors.EVENT_READ, child)
        if self._template is None or self._template.state != "ready":
            self._waiting.append(child)
        else:
            self._order(self._template, child)

    def _order(self, template: Child, child: Child) -> None:
        """Send the template everything that the new process inherits, then the order itself."""
        self._sequence += 1
        self._spawning[self._sequence] = child
        child.started_ns = time.monotonic_ns()
        inherited = {
            **self.memory.shared(),
            "config": self.committed.fd,
            "region": self.memory.region(child.slot),
            **({"endpoints": self.endpoints} if self.endpoints is not None else {}),
        }
        if child.role == "worker":
            inherited |= self.sockets.named()
            inherited["ring"] = self.memory.ring(child.slot)
        else:
            inherited |= {f"admin/{name}": sock.fileno() for name, sock in self.sockets.admin.items()}
            inherited |= {f"region/{slot}": fd for slot, fd in self.memory.regions.items()}
            inherited |= {f"ring/{slot}": fd for slot, fd in self.memory.rings.items()}
            inherited |= {f"ended/{serial}": fd for serial, fd in self.memory.ended.items()}
            inherited["base"] = self.memory.base
            inherited |= {"counters_base": self.counters_base} if self.counters_base is not None else {}
        message = {
            "type": "spawn",
            "sequence": self._sequence,
            "role": child.role,
            "index": child.index,
            "slot": child.slot,
            "generation": self.generation,
            "state": self.state,
            "listeners": self.sockets.bound() if child.role == "controller" else [],
            "stopped": self.drains.stopped,
            "user": self.options.user,
            "group": self.options.group,
            "options": self.options.to_json(),
            "orders": self.orders,
        }
        try:
            template.outbox.send_fds(inherited)
            template.outbox.send({"type": "fds", "names": ["channel"]}, give=[child.far_end])
            child.far_end = -1
            template.outbox.send(message)
        except channel.ChannelClosedError:
            log.error("the template no longer reads its channel; replacing it")
            self._signal(template, signal.SIGKILL)

    def _receive(self, child: Child) -> None:
        while True:
            try:
                message, fds = channel.receive(child.outbox.sock)
            except BlockingIOError:
                return
            except channel.ChannelClosedError:
                # Its death is told by waitpid; until then there is nothing to read here.
                self._selector.unregister(child.outbox.sock)
                return
            except ValueError as error:
                self._reject(child, error)
                return
            try:
                self._on_message(child, message, fds)
            except (KeyError, TypeError, ValueError) as error:  # children serve strangers and are not trusted
                self._reject(child, error)
            finally:
                for fd in fds:
                    os.close(fd)

    def _reject(self, child: Child, error: Exception) -> None:
        log.error("%s (pid %d) sent an invalid message (%r); killing it", child.name, child.pid, error)
        self._signal(child, signal.SIGKILL)

    def _on_message(self, child: Child, message: dict[str, Any], fds: list[int]) -> None:
        """Act on a message. Descriptors that are kept are taken out of `fds`; the caller closes the rest."""
        kind = message.get("type")
        if child.role == "template" and kind == "ready":
            child.state = "ready"
            self.memory.processes.write(TEMPLATE_SLOT, Word.STATE, State.SERVING)
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                self._order(child, waiter)
        elif child.role == "template" and kind == "spawned":
            self._spawned(self._spawning.pop(message["sequence"]), message["pid"])
        elif kind == "failed":
            child.failure = str(message["traceback"])
        elif child.role == "worker" and kind == "ready":
            child.state = "ready"
            self.workforce.on_ready(child)
        elif child.role == "controller":
            self._on_controller_message(child, message, fds)

    def _on_controller_message(self, child: Child, message: dict[str, Any], fds: list[int]) -> None:
        kind = message["type"]
        if kind == "ready":
            child.state = "ready"
            self.workforce.start_serving_if_ready()
        elif kind == "endpoints":
            self.endpoints = _replace(self.endpoints, fds)
            for worker in self.workforce.everyone():
                # A copy each: this descriptor may be replaced while a message still waits to be sent.
                self.send(worker, {"type": "endpoints"}, give=[os.dup(self.endpoints)])
        elif kind == "order":
            refusal = self._give_order(message["name"], message["value"])
            if "request" in message:
                self._answer(child, message["request"], refusal)
        elif kind == "counters_base":
            self.counters_base = _replace(self.counters_base, fds)
        elif kind == "reopen_logs":
            self._reopen_logs()
        elif kind == "workers":
            request = message["request"]
            self.workforce.resize(
                message["count"],
                lambda refusal: self._answer(child, request, refusal),
            )
        elif kind == "shutdown":
            log.info("shutdown requested through the admin interface")
            self.stop(0)
            if message.get("now"):
                self.stop_deadline = time.monotonic()
                self._kill_all()
        elif kind == "folded":
            self.memory.folded(message["serial"])

    def _give_order(self, name: str, value: Any) -> str | None:
        """Returns what could not be done, or None."""
        self.orders[name] = value
        refusal = None
        if name == "log":
            process_log.set_levels(value["levels"])
        for worker in self.workforce.everyone():
            self.send(worker, {"type": "order", "name": name, "value": value})
        if name == "drain":  # the workers first: whoever is accepted while the queues are emptied is told to leave
            refusal = self.drains.obey(value)
        return refusal

    def _answer(self, child: Child, request: int, refusal: str | None) -> None:
        if child is self.controller:
            self.send(child, {"type": "answer", "request": request, "refusal": refusal})

    def tell_state(self) -> None:
        if self.controller is not None:
            message = {"type": "state", "state": self.state, "listeners": self.sockets.bound()}
            self.send(self.controller, {**message, "stopped": self.drains.stopped})

    def on_serving(self) -> None:
        """The first time that all workers accept connections."""
        if self.state == "INITIALIZING":
            self.state = "LIVE"
            for name, addresses in self.sockets.bound():
                log.info("listener %s on %s", name, ", ".join(addresses))
            log.info("all dependencies initialized: serving with %d worker(s)", self.workforce.count)
            self.systemd.ready()
        self.tell_state()

    def tell_controller(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        if self.controller is not None:
            self.send(self.controller, message, fds)

    def controller_ready(self) -> bool:
        return self._controller_overdue or (self.controller is not None and self.controller.state == "ready")

    def _start_serving_without_controller(self) -> None:
        if self.state == "INITIALIZING" and not self.controller_ready():
            log.error("the controller has not initialised within %.0f s; serving without it", READY_DEADLINE)
            self._controller_overdue = True
            self.workforce.start_serving_if_ready()

    # --- deaths ---------------------------------------------------------------------------------------------------

    def _spawned(self, child: Child, pid: int) -> None:
        child.pid = pid
        status = self._unclaimed.pop(pid, None)
        if not self._spawning:
            self._unclaimed.clear()  # strangers that a child of ours left behind
        if status is not None:
            self._died(child, status)
            return
        self._children[pid] = child
        self._describe(child)
        if self.stopping:
            self._signal(child, signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                self._receive_last(child)
                self._died(child, status)
            elif self._spawning:
                self._unclaimed[pid] = status  # perhaps one of ours that died before the template told its pid

    def _receive_last(self, child: Child) -> None:
        if child.outbox.sock in self._selector.get_map():
            self._receive(child)

    def _died(self, child: Child, status: int) -> None:
        if child.outbox.sock in self._selector.get_map():
            self._selector.unregister(child.outbox.sock)
        child.outbox.close()
        lived = (time.monotonic_ns() - child.started_ns) / 1e9
        expected = self.stopping or child.state == "draining"
        if not expected:
            log.error("%s (pid %d) died: %s%s", child.name, child.pid, _describe(status), _indented(child.failure))
        self.memory.after_death(child.slot)
        if child.role == "worker":
            self.workforce.on_death(child, lived)
            self._stop_rest_if_workers_gone()
        elif child.role == "controller":
            self.controller = None
            if self.stopping:
                self._stop_rest_if_workers_gone()
            else:
                self.memory.add_restart(CONTROLLER_SLOT)
                self.respawn_later(
                    "controller",
                    self._controller_backoff.died(lived=lived, ready=child.state == "ready"),
                    self._start_controller,
                )
                self.give_up_if_start_failed(self._controller_backoff, child)
        else:
            self._template_died(child, lived)

    def _template_died(self, child: Child, lived: float) -> None:
        self._template = None
        self.memory.add_restart(TEMPLATE_SLOT)
        lost = list(self._spawning.values())
        self._spawning.clear()
        for orphan in lost:  # ordered, but never announced: if it was forked after all, the closed channel ends it
            if orphan.outbox.sock in self._selector.get_map():
                self._selector.unregister(orphan.outbox.sock)
            orphan.abandon()
        if self.stopping:
            return
        self.respawn_later(
            "template", self._template_backoff.died(lived=lived, ready=child.state == "ready"), self._start_template
        )
        self.give_up_if_start_failed(self._template_backoff, child)
        for orphan in lost:
            if orphan.role == "controller":
                self._start_controller()
            else:
                self.workforce.on_lost(orphan)

    def respawn_later(self, what: str, delay: float, action: Callable[[], None]) -> None:
        if delay:
            log.warning("%s starts again in %.1f s", what, delay)
        self.timers.after(delay, lambda: None if self.stopping else action())

    def _watch(self, own_lag_ns: int) -> None:
        """Deal with whoever hangs (hang_watch.py)."""
        children = [child for child in self._children.values() if child.role in ("worker", "controller")]
        for child, number in hang_watch.verdicts(children, self.memory.processes, own_lag_ns=own_lag_ns):
            self._signal(child, number)
        if self._template is not None and hang_watch.template_hangs(self._template, self._spawning.values()):
            self._signal(self._template, signal.SIGKILL)

    def give_up_if_start_failed(self, backoff: Backoff, child: Child) -> None:
        if self.state == "INITIALIZING" and child.state == "starting" and backoff.early_deaths >= MAX_EARLY_DEATHS:
            self.fail_start(f"{child.name} died {backoff.early_deaths} times before it was ready")


def _replace(old: int | None, fds: list[int]) -> int:
    """Take the one descriptor of a message in place of `old`, which is closed."""
    if len(fds) != 1:
        raise ValueError(f"{len(fds)} descriptors instead of one")
    if old is not None:
        os.close(old)
    return fds.pop()


def _describe(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit status {os.WEXITSTATUS(status)}"


def _indented(text: str) -> str:
    return "".join(f"\n    {line}" for line in text.rstrip().splitlines())
