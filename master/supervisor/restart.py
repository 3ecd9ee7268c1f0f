"""Carries out a hot restart. What comes when is decided in `restart_sequence.py`; this file does it."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

from master.supervisor import preflight, state, takeover
from master.supervisor.adoption import PATIENCE
from master.supervisor.bind import BindError
from master.supervisor.canary import Canary
from master.supervisor.children import describe
from master.supervisor.generation import Generation, Plan
from master.supervisor.listening import ListenSockets
from master.supervisor.memory import Tables
from master.supervisor.python import OWN
from master.supervisor.restart_request import Request
from master.supervisor.restart_sequence import Action, Event, Failed, Phase, Progress, advance, begin
from shm import memfd

if TYPE_CHECKING:
    from master.supervisor.committed import Committed
    from master.supervisor.supervisor import Supervisor

log = logging.getLogger("supervisor")

EXIT_FAILED, EXIT_INVALID, EXIT_REJECTED, EXIT_TIMED_OUT = 1, 3, 5, 6
MAX_GENERATIONS = 3  # alive at once, the new one included
MAX_REASON = 16_000  # bytes of preflight's findings that are passed on


class Restart:
    def __init__(self, supervisor: Supervisor, progress: Progress | None = None) -> None:
        self.progress = progress or Progress()
        self.candidate: Generation | None = None
        self._supervisor = supervisor
        self._request = Request()
        self._committed: Committed | None = None
        self._compiling: preflight.Running | None = None
        self._canary: Canary | None = None
        self._adopted_by = 0.0  # `time.monotonic()` at which the exec no longer waits for connections that change over

    @property
    def busy(self) -> bool:
        return self.progress.phase != Phase.IDLE

    @property
    def changing(self) -> bool:
        """It is at a step that takes moments. A canary may be tried for an hour."""
        return self.busy and self.progress.phase != Phase.CANARY

    def ask(self, request: Request) -> str | None:
        """Begin; or the reason why not."""
        refusal = self._refusal()
        if refusal is not None:
            log.warning("restart refused: %s", refusal)
            return refusal
        self._request = request
        number = max(generation.number for generation in self._supervisor.generations) + 1
        self.progress, actions = begin(number, canary=request.canary)
        log.info("hot restart into generation %d", self.progress.generation)
        self.tell()
        self._do(actions)
        return None

    def _refusal(self) -> str | None:
        supervisor = self._supervisor
        if self.busy:
            return f"a restart into generation {self.progress.generation} is in progress ({self.progress.phase})"
        if supervisor.state != "LIVE" or supervisor.stopping:
            return f"the server is {supervisor.state}"
        if not supervisor.reload.make_way():
            return "a reload is in progress; try again when it is done"
        if supervisor.serving.workforce.changing:
            return "the number of workers is being changed; try again when it is done"
        if supervisor.generations[-1].state == "ending":
            return f"what there was of generation {supervisor.generations[-1].number} is still being removed; try again"
        if len(supervisor.generations) >= MAX_GENERATIONS:
            oldest = min(supervisor.draining, key=lambda generation: generation.ends_at)
            left = max(0.0, oldest.ends_at - time.monotonic())
            return (
                f"{MAX_GENERATIONS} generations are alive, and generation {oldest.number} still drains "
                f"(for {left:.0f} s at most, --parent-shutdown-time-s); `proxyctl ps` shows its connections"
            )
        if not supervisor.memory.has_slots(supervisor.serving.workforce.count + 2):
            return "there are not enough process slots for another generation until draining workers have ended"
        return None

    def on(self, event: Event | Failed) -> None:
        """Something happened; of no consequence while no restart waits for it."""
        before = self.progress
        self.progress, actions = advance(before, event)
        if self.progress != before and isinstance(event, Failed):
            log.error("restart into generation %d: %s", before.generation, event.reason)
        self._do(actions)
        if self.progress != before:
            self.tell()

    def fail_takeover(self, reason: str) -> None:
        """It is committed, and this process goes on with the old code."""
        self.on(Failed(EXIT_FAILED, f"generation {self.progress.generation} serves, but {reason}"))

    def on_candidate_progress(self) -> None:
        self.tell()
        if self.candidate is not None and self.candidate.ready:
            self.on(Event.READY)

    def tick(self) -> None:
        """Called once per turn of the loop."""
        if self._canary is not None and self._canary.due:
            self._look_at(self._canary)
        if self.progress.phase != Phase.TAKEOVER:
            self._adopted_by = time.monotonic() + PATIENCE
            return
        # Copies of connections do not outlive the exec. Workers of another release may not say that they have theirs.
        adopting = self._supervisor.adoptions.busy and time.monotonic() < self._adopted_by
        if not (adopting or self._supervisor.drains.busy) and self._supervisor.children.settled:
            self.on(Event.SETTLED)

    def status(self) -> dict[str, Any]:
        """For the controller and `proxyctl restart`."""
        candidate = self.candidate
        return {
            "phase": self.progress.phase.value,
            "generation": self.progress.generation,
            "outcome": self.progress.outcome,
            "exit_code": self.progress.exit_code,
            "reason": self.progress.reason,
            "workers_ready": candidate.workforce.ready if candidate else 0,
            "workers": candidate.workforce.count if candidate else 0,
            "controller_ready": bool(candidate and candidate.controller_ready),
            "canary": self._canary.status() if self._canary is not None else None,
        }

    def tell(self) -> None:
        self._supervisor.leader.tell({"type": "restart_status", "status": self.status()})

    # --- the actions ------------------------------------------------------------------------------------------------

    def _do(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            {
                Action.COMPILE: self._compile,
                Action.START: self._start,
                Action.TRY: self._try,
                Action.COMMIT: self._commit,
                Action.LEAD: self._lead,
                Action.EXECUTE: self._execute,
                Action.REMOVE: self._remove,
            }[action]()

    def _compile(self) -> None:
        supervisor = self._supervisor
        code = self._request.code or OWN
        snapshot = takeover.snapshot(supervisor)
        states = {str(version): state.encode(snapshot, version).decode() for version in state.READABLE}
        words = memfd.create("trireme-findings", 0)
        try:
            running = preflight.start(
                supervisor.options, code, version=self.progress.generation, states=states, stderr=words
            )
        except OSError as error:
            os.close(words)
            self.on(Failed(EXIT_REJECTED, f"cannot run {code.executable}: {error.strerror}"))
            return
        running.process.returncode = 0  # reaped by `Children`
        self._compiling = running
        supervisor.timers.after(preflight.DEADLINE, lambda: self._stop_compiling(running))
        supervisor.children.add_helper(running.process.pid, lambda status: self._compiled(running, words, status))

    def _stop_compiling(self, running: preflight.Running) -> None:
        if self._compiling is running:
            reason = f"compiling the configuration took more than {preflight.DEADLINE:.0f} s"
            self.on(Failed(EXIT_TIMED_OUT, reason))

    def _compiled(self, running: preflight.Running, words: int, status: int) -> None:
        """Preflight has ended."""
        if self._compiling is not running:  # the restart that it was for is over, and there may be another one
            os.close(running.fd)
            os.close(words)
            return
        self._compiling = None
        findings = memfd.read_at(words, MAX_REASON, 0).decode(errors="replace").strip()
        os.close(words)
        try:
            committed = running.result(os.waitstatus_to_exitcode(status))
            state.common(committed.state_versions)
        except preflight.PreflightError as error:
            reason = findings or f"preflight by the new code: {describe(status)}"
            self.on(Failed(error.exit_code, reason))
        except (ValueError, KeyError, TypeError) as error:
            self.on(Failed(EXIT_FAILED, f"the new code compiled something unknown here: {error!r}"))
        except state.StateError as error:
            os.close(committed.fd)
            self.on(Failed(EXIT_REJECTED, str(error)))
        else:
            if findings:
                log.warning("the new configuration:\n%s", findings)
            self._committed = committed
            self.on(Event.COMPILED)
            if self.candidate is None:  # not started after all
                os.close(committed.fd)

    def _start(self) -> None:
        supervisor, committed = self._supervisor, self._committed
        assert committed is not None
        number = self.progress.generation
        count = supervisor.serving.workforce.count
        plan = Plan(number, self._request.code or OWN, committed, count)
        try:
            sockets = ListenSockets(supervisor.pool, committed, supervisor.directory.admin_socket, count=count)
        except BindError as error:
            self.on(Failed(EXIT_REJECTED, str(error)))
            return
        tables = Tables.create(hosts=committed.hosts, clusters=committed.clusters)
        self.candidate = candidate = Generation(supervisor, plan, sockets, tables)
        supervisor.generations.append(candidate)
        supervisor.timers.after(self._request.ready_timeout, lambda: self._overdue(candidate))
        candidate.start()

    def _overdue(self, candidate: Generation) -> None:
        if self.candidate is not candidate or self.progress.phase != Phase.STARTING:
            return
        number, deadline = candidate.number, self._request.ready_timeout
        workforce, controller = candidate.workforce, "ready" if candidate.controller_ready else "not ready"
        self.on(
            Failed(
                EXIT_TIMED_OUT,
                f"generation {number} was not ready within {deadline:g} s: {workforce.ready} of {workforce.count} "
                f"workers are ready, its controller is {controller}",
            )
        )

    def _try(self) -> None:
        supervisor, candidate, seconds = self._supervisor, self.candidate, self.progress.canary
        assert candidate is not None
        old = supervisor.serving
        words = "one worker of generation %d serves beside generation %d for %g s"
        log.info(words, candidate.number, old.number, seconds)
        candidate.try_one()
        self._canary = Canary(candidate, old, supervisor.memory.processes, seconds)

    def _look_at(self, canary: Canary) -> None:
        reason, candidate = canary.objection(), self.candidate
        if reason is not None:
            self.on(Failed(EXIT_FAILED, f"the canary of generation {self.progress.generation} is sent back: {reason}"))
        elif canary.over and candidate is not None and candidate.ready:
            log.info("%s", canary.summary())
            self.on(Event.PASSED)
        elif canary.elapsed > canary.seconds + self._request.ready_timeout:
            self.on(Failed(EXIT_TIMED_OUT, f"generation {self.progress.generation} is no longer ready"))
        else:
            self.tell()

    def _commit(self) -> None:
        supervisor, new, self._canary = self._supervisor, self.candidate, None
        assert new is not None
        old = supervisor.serving
        supervisor.drains.reset(new)
        supervisor.history.push(new.committed.fd, "restart")
        supervisor.in_effect(new)
        new.serve()
        words = "generation %d serves with %d worker(s); generation %d drains"
        log.info(words, new.number, new.workforce.count, old.number)
        kept = new.sockets.in_use()
        vanished = [bound.sockets for bound in old.sockets.bounds if bound.sockets.key not in kept]
        old.retire_controller()
        old.drain(
            supervisor.options.parent_shutdown_time,
            ending=old.sockets.queues(vanished),
            hand_over=old.committed.hands_over(new.committed),
        )
        for sockets in vanished:
            log.info("listener address %s is no longer configured: it is closed", sockets.bound())
        supervisor.drains.close(vanished)

    def _lead(self) -> None:
        new, self.candidate = self.candidate, None
        assert new is not None
        self._supervisor.leader.generation = new
        new.lead()

    def _execute(self) -> None:
        supervisor = self._supervisor
        try:
            takeover.execute(supervisor)
        except OSError as error:
            self.fail_takeover(f"the supervisor could not become its code: {error}")

    def _remove(self) -> None:
        compiling, self._compiling = self._compiling, None
        if compiling is not None:
            compiling.kill()
        candidate, self.candidate = self.candidate, None
        canary, self._canary = self._canary, None
        if candidate is not None and canary is None:
            candidate.end()
        elif candidate is not None:  # what it has accepted is served to its end, and whoever is idle changes back
            candidate.drain(
                self._supervisor.options.parent_shutdown_time,
                ending=(),
                hand_over=candidate.committed.hands_over(self._supervisor.serving.committed),
            )
            self._supervisor.leader.tell_state()
