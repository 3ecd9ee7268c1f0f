"""Carries out a reload. What comes when is decided in `reload_sequence.py`, the workers' part is in `rollout.py`.

The configuration changes here, in one step between two turns of the loop: from `_commit` on every process that starts
gets the new one, before that the old one. So whoever dies at whatever moment, all end up with the same.
"""

from __future__ import annotations

import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from master.supervisor import preflight
from master.supervisor.bind import BindError
from master.supervisor.changeover import Changeover
from master.supervisor.children import describe
from master.supervisor.listening import ListenSockets
from master.supervisor.reload_effects import Effects
from master.supervisor.reload_sequence import Action, Event, Failed, Phase, Progress, advance, begin
from master.supervisor.rollout import Rollout
from shm import memfd
from shm.processes import Word

if TYPE_CHECKING:
    from master.supervisor.child import Child
    from master.supervisor.committed import Committed
    from master.supervisor.supervisor import Supervisor

log = logging.getLogger("supervisor")

EXIT_FAILED, EXIT_REJECTED, EXIT_TIMED_OUT = 1, 5, 6
PLACE_DEADLINE = 20.0  # seconds for the controller, which waits for the first answers to new names
SETTLE_DEADLINE = 20.0  # seconds for queues to be emptied; `draining.py` has a shorter deadline of its own
MAX_FINDINGS = 64_000  # bytes of preflight's findings that are passed on


class Request(NamedTuple):
    """`why` is for the history. `version`: go back to this one (0: the one before) instead of reading the sources.

    `rotate`: nothing but the secrets of what is in effect is read again. It makes way for everything else, which will
    see the same files.
    """

    why: str = "reload"
    show: bool = False  # only what would change
    version: int | None = None
    rotate: bool = False


class Reload:
    def __init__(self, supervisor: Supervisor) -> None:
        self.progress = Progress()
        self.effects = Effects()
        self._supervisor = supervisor
        self._request = Request()
        self._next: Request | None = None  # waits for the end of a rotation
        self._reloaded: dict[str, Any] = {}  # how it ended, while a rotation is the last thing that was done
        self._rotated: list[dict[str, Any]] = []
        self._gave_way = False  # the last rotation
        self._compiling: preflight.Running | None = None
        self._committed: Committed | None = None  # the new one
        self._sockets: ListenSockets | None = None
        self._endpoints: int | None = None
        self._rollout: Rollout | None = None
        self._changeover = Changeover(supervisor)
        self._findings = ""
        self._ends = 0.0

    @property
    def busy(self) -> bool:
        return self.progress.phase != Phase.IDLE

    def make_way(self) -> bool:
        """Whether nothing is in the way of somebody who wants to change something: a rotation gives up if it can."""
        if self._request.rotate:
            self._gave_way = self.progress.phase not in (Phase.IDLE, Phase.APPLYING)
            self.on(Failed(EXIT_FAILED, "something else is to be done first"))
        return not self.busy

    def ask(self, request: Request) -> str | None:
        """Begin; or the reason why not."""
        if self.busy and self._request.rotate and not request.rotate and not self.make_way() and self._next is None:
            self._next = request
            self.tell()
            return None
        refusal = self._refusal()
        if refusal is not None:
            if not request.rotate:
                log.warning("%s refused: %s", request.why, refusal)
            return refusal
        if request.rotate and not self._request.rotate:
            self._reloaded = self._own_status()
        self._request, self._findings, self._gave_way = request, "", False
        self.progress, actions = begin(self._supervisor.history.version + 1)
        if not request.show and not request.rotate:
            log.info("%s of the configuration", request.why)
            self._supervisor.systemd.reloading(f"{request.why} of the configuration")
        self._ends = time.monotonic() + preflight.DEADLINE
        self._do(actions)
        self.tell()
        return None

    def _refusal(self) -> str | None:
        supervisor = self._supervisor
        if self.busy:
            return f"a reload is in progress ({self.progress.phase}); try again when it is done"
        if supervisor.restart.busy:
            return "a hot restart is in progress; try again when it is done"
        if supervisor.state != "LIVE" or supervisor.stopping:
            return f"the server is {supervisor.state}"
        if supervisor.serving.workforce.changing:
            return "the number of workers is being changed; try again when it is done"
        return None

    def on(self, event: Event | Failed) -> None:
        """Something happened; of no consequence while no reload waits for it."""
        before = self.progress
        self.progress, actions = advance(before, event)
        if self.progress == before:
            return
        if before.phase != Phase.IDLE and self.progress.phase == Phase.IDLE:
            self._report()
        self._do(actions)
        self.tell()
        if not self.busy and self._next is not None:
            request, self._next = self._next, None
            refusal = self.ask(request)
            if refusal is not None:
                version = self._supervisor.history.version + 1
                ended = Progress(version=version, outcome="failed", exit_code=EXIT_REJECTED, reason=refusal)
                self._reloaded = _described(ended, request.why)
                self.tell()

    def _report(self) -> None:
        words, shown = self._request.why, self._request.show
        if self._request.rotate:
            return  # the controller knows which secrets there are
        match self.progress.outcome:
            case "done":
                log.info("%s: version %d is in effect", words, self.progress.version)
            case "unchanged":
                log.info("%s: the configuration is the same; nothing was done", words)
            case "failed":
                log.error("%s failed, nothing was changed: %s", words, self.progress.reason)
        if not shown:
            self._supervisor.systemd.reloaded()

    def tick(self) -> None:
        """Called once per turn of the loop."""
        supervisor = self._supervisor
        self._changeover.tick()
        phase = self.progress.phase
        if phase == Phase.SETTLING and not supervisor.drains.busy:
            self._ends = time.monotonic() + PLACE_DEADLINE
            self.on(Event.SETTLED)
        elif phase in (Phase.PREPARING, Phase.APPLYING):
            self._look()
        elif self.busy and time.monotonic() >= self._ends:
            self.on(Failed(EXIT_TIMED_OUT, f"it took too long ({phase})"))

    def _look(self) -> None:
        rollout = self._rollout
        assert rollout is not None
        if rollout.look(lambda child: self._supervisor.memory.processes.read(child.slot)):
            if self.progress.phase == Phase.APPLYING:
                self.on(Event.APPLIED)
            elif rollout.nobody:
                self.on(Failed(EXIT_FAILED, "every worker died of it, or hangs"))
            else:
                self.on(Event.PREPARED)

    # --- what children say ------------------------------------------------------------------------------------------

    def on_worker(self, child: Child, message: dict[str, Any]) -> None:
        """`prepared`, `refused` or `committed`."""
        if self._rollout is None:
            return
        self._rollout.answered(child, message)
        if self._rollout.refusal and self.progress.phase == Phase.PREPARING:
            self.on(Failed(EXIT_REJECTED, self._rollout.refusal))
        self.tell()

    def on_placed(self, message: dict[str, Any], fds: list[int]) -> None:
        """The controller has the hosts of the new configuration."""
        if self.progress.phase != Phase.PLACING or message["version"] != self.progress.version or len(fds) != 1:
            return
        self._endpoints = fds.pop()
        self.on(Event.PLACED)

    def on_death(self, child: Child) -> None:
        if self._rollout is not None:
            self._rollout.died(child)
        if child.role == "controller" and self.progress.phase in (Phase.PLACING, Phase.PREPARING):
            # Its successor knows nothing of the new hosts and may publish others.
            self.on(Failed(EXIT_FAILED, "the controller died meanwhile"))

    # --- the actions ------------------------------------------------------------------------------------------------

    def _do(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            {
                Action.COMPILE: self._compile,
                Action.PLACE: self._place,
                Action.PREPARE: self._prepare,
                Action.COMMIT: self._commit,
                Action.DROP: self._drop,
            }[action]()

    def _compile(self) -> None:
        supervisor, again = self._supervisor, None
        if self._request.version is not None:
            entry = supervisor.history.find(self._request.version or None)
            if isinstance(entry, str):
                self.on(Failed(EXIT_REJECTED, entry))
                return
            again = entry.fd
        serving = supervisor.serving
        words = memfd.create("trireme-findings", 0)
        self._rotated = []
        known = preflight.Reload(serving.committed.fd, again, serving.spawning.fingerprint, self._request.rotate)
        try:
            running = preflight.start(
                supervisor.options, serving.code, version=self.progress.version, stderr=words, reload=known
            )
        except OSError as error:
            os.close(words)
            self.on(Failed(EXIT_REJECTED, f"cannot run {serving.code.executable}: {error.strerror}"))
            return
        running.process.returncode = 0  # reaped by `Children`
        self._compiling = running
        supervisor.children.add_helper(running.process.pid, lambda status: self._compiled(running, words, status))

    def _compiled(self, running: preflight.Running, words: int, status: int) -> None:
        """Preflight has ended, by itself or because nobody waits for it any more."""
        findings = memfd.read_at(words, MAX_FINDINGS, 0).decode(errors="replace").strip()
        os.close(words)
        wanted = self._compiling is running
        if wanted:
            self._compiling = None
        try:
            committed = running.result(os.waitstatus_to_exitcode(status))
        except preflight.PreflightError as error:
            if wanted:
                self.on(Failed(error.exit_code, findings or f"compiling the configuration: {describe(status)}"))
            return
        except (ValueError, KeyError, TypeError) as error:
            os.close(running.fd)
            if wanted:
                self.on(Failed(EXIT_FAILED, f"the compiled configuration cannot be read: {error!r}"))
            return
        if not wanted or committed.difference is None:
            os.close(committed.fd)
            return
        self._committed, self._findings = committed, findings
        self._judge(committed)

    def _judge(self, committed: Committed) -> None:
        difference = committed.difference
        assert difference is not None
        self._rotated = list(difference.secrets)
        if not self._request.rotate:
            self.effects.changes = list(difference.changes)
        if self._request.show:
            self.on(Event.SHOWN)
        elif difference.needs_restart:
            what = ", ".join(difference.needs_restart)
            self.on(Failed(EXIT_REJECTED, f"{what} differs, which needs `proxyctl restart`"))
        elif not difference.changes and difference.same_source:
            self.on(Event.UNCHANGED)
        else:
            self._ends = time.monotonic() + SETTLE_DEADLINE
            self.on(Event.COMPILED)

    def _place(self) -> None:
        """Bind what is new, and let the controller find the new hosts."""
        supervisor, committed, serving = self._supervisor, self._committed, self._supervisor.serving
        assert committed is not None
        count = max(serving.workforce.count, serving.workforce.listening)
        try:
            self._sockets = ListenSockets(supervisor.pool, committed, supervisor.directory.admin_socket, count=count)
        except BindError as error:
            self.on(Failed(EXIT_REJECTED, str(error)))
            return
        if serving.controller is None or serving.controller.state != "ready":
            self.on(Failed(EXIT_REJECTED, "the controller is starting; try again"))
            return
        message = {"type": "place", "version": self.progress.version}
        serving.send(serving.controller, message, give=(os.dup(committed.fd),))

    def _prepare(self) -> None:
        assert self._committed is not None
        assert self._endpoints is not None
        serving = self._supervisor.serving
        self._rollout = Rollout(serving, self.progress.version, config=self._committed.fd, endpoints=self._endpoints)
        self._rollout.prepare()

    def _commit(self) -> None:
        """From here on this is the configuration."""
        supervisor, serving, rollout = self._supervisor, self._supervisor.serving, self._rollout
        committed, sockets, endpoints = self._committed, self._sockets, self._endpoints
        assert committed is not None
        assert sockets is not None
        assert endpoints is not None
        assert rollout is not None
        if self._request.rotate:
            supervisor.history.renew(committed.fd)
        else:
            supervisor.history.push(committed.fd, self._request.why)
        before = serving.sockets
        old_config, old_endpoints = serving.committed.fd, serving.endpoints
        serving.committed, serving.sockets, serving.endpoints = committed, sockets, endpoints
        serving.forget_delta()
        serving.config_version = self.progress.version
        for fd in (old_config, old_endpoints):
            if fd is not None:
                os.close(fd)
        supervisor.memory.processes.write(0, Word.CONFIG_VERSION, self.progress.version)
        self._committed = self._sockets = self._endpoints = None
        rollout.config, rollout.endpoints = committed.fd, endpoints
        options = supervisor.options
        if not self._request.rotate:
            self.effects.count(serving.workforce.count, drain_time=options.drain_time)
        drain = {"elapsed": 0.0, "seconds": options.drain_time, "immediate": options.drain_strategy == "Immediate"}
        self._changeover.begin(
            before, sockets, mark=self.progress.version, commit=lambda: rollout.commit({"drain": drain})
        )
        self._tell_controller()
        supervisor.leader.tell_state()

    def _tell_controller(self) -> None:
        """A controller that has not placed this configuration ends itself; its successor begins with it."""
        serving = self._supervisor.serving
        if serving.controller is not None:
            serving.send(serving.controller, {"type": "commit", "version": self.progress.version})

    def _drop(self) -> None:
        """Nothing of it is left."""
        supervisor = self._supervisor
        running, self._compiling = self._compiling, None
        if running is not None:
            running.kill()
        if self._rollout is not None:
            self._rollout.abort()
        controller = supervisor.serving.controller
        if controller is not None and controller.pid:
            supervisor.children.send(controller, {"type": "abort", "version": self.progress.version})
        sockets, self._sockets = self._sockets, None
        if sockets is not None:
            supervisor.release_unused(sockets.in_use())
        if self._committed is not None:
            os.close(self._committed.fd)
        if self._endpoints is not None:
            os.close(self._endpoints)
        self._committed = self._endpoints = self._rollout = None

    # --- for the controller and `proxyctl` --------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """A rotation has a status of its own: nobody who waits for a reload is to see its end."""
        own, rotates = self._own_status(), self._request.rotate
        reloaded = self._reloaded if rotates else own
        if self._next is not None:
            version = self._supervisor.history.version + 1
            reloaded = _described(Progress(Phase.COMPILING, version), self._next.why)
        return {
            **reloaded,
            **self.effects.status(),
            "history": self._supervisor.history.described(),
            "rotation": {**own, "secrets": self._rotated} if rotates and not self._gave_way else {},
        }

    def _own_status(self) -> dict[str, Any]:
        rollout = self._rollout
        return {
            **_described(self.progress, self._request.why),
            "warnings": self._findings.splitlines(),
            "workers": rollout.total if rollout else 0,
            "workers_done": rollout.total - rollout.waiting if rollout else 0,
            "replaced": rollout.replaced if rollout else [],
        }

    def tell(self) -> None:
        """Thousands of resources may have changed: more than a message holds."""
        status = memfd.sealed("trireme-reload-status", json.dumps(self.status()).encode())
        self._supervisor.leader.tell({"type": "reload_status"}, give=[status])


def _described(progress: Progress, why: str) -> dict[str, Any]:
    """The status of a reload that has come to no worker."""
    return {
        "phase": progress.phase.value,
        "why": why,
        "version": progress.version,
        "outcome": progress.outcome,
        "exit_code": progress.exit_code,
        "reason": progress.reason,
        "warnings": [],
        "workers": 0,
        "workers_done": 0,
        "replaced": [],
    }
