"""What the instance is told to do: by signals, and by operators through the controller that leads."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING, Any

from master.supervisor import log_file, questions, restart_request
from master.supervisor.children import replace_fd
from master.supervisor.reload import Request
from master.supervisor.restart_sequence import EXIT_STOPPED, Failed
from proxy import log as process_log

if TYPE_CHECKING:
    from master.supervisor.child import Child
    from master.supervisor.generation import Generation
    from master.supervisor.supervisor import Supervisor

log = logging.getLogger("supervisor")


class Commands:
    """Each one has its method; a refusal is a reason in words, None if there is none."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._interrupts = 0

    def on_signal(self, number: signal.Signals) -> None:
        supervisor = self._supervisor
        if number == signal.SIGTERM:
            log.info("SIGTERM: shutting down gracefully")
            supervisor.stop(0)
        elif number == signal.SIGINT:
            self._interrupt()
        elif number == signal.SIGHUP:
            log.info("SIGHUP: reload")
            if supervisor.reload.ask(Request()) is not None:
                supervisor.systemd.reloading("reload refused")  # systemd waits for the end of what it has asked for
                supervisor.systemd.reloaded()
        elif number == signal.SIGUSR2:
            log.info("SIGUSR2: hot restart")
            self._restart({})
        elif number == signal.SIGUSR1:
            self._reopen_logs()
        elif number in (signal.SIGTTIN, signal.SIGTTOU):
            count = supervisor.serving.workforce.count + (1 if number == signal.SIGTTIN else -1)
            log.info("%s: %d worker(s)", number.name, count)
            refusal = self._refuse_resize()
            if refusal is None:
                supervisor.serving.workforce.resize(
                    count, lambda refusal: log.warning("%s", refusal) if refusal else None
                )
            else:
                log.warning("%s", refusal)

    def on_message(self, generation: Generation, child: Child, message: dict[str, Any], fds: list[int]) -> None:
        """A controller's message that concerns the whole instance."""
        supervisor = self._supervisor
        kind = message["type"]
        if kind == "order":
            refusal = self._order(message["name"], message["value"])
            if "request" in message:
                self._answer(child, message["request"], refusal)
        elif kind == "counters_base":
            supervisor.leader.counters_base = replace_fd(supervisor.leader.counters_base, fds)
        elif kind == "reopen_logs":
            self._reopen_logs()
        elif kind == "workers":
            self._resize(generation, child, message["count"], message["request"])
        elif kind == "reload":
            request = Request(message["why"], message["show"], message["config"], rotate=message.get("rotate", False))
            self._answer(child, message["request"], supervisor.reload.ask(request))
        elif kind in questions.KINDS:
            questions.pass_on(supervisor, message)
        elif kind == "restart":
            self._answer(child, message["request"], self._restart(message))
        elif kind == "shutdown":
            log.info("shutdown requested through the admin interface")
            supervisor.stop(0)
            if message.get("now"):
                supervisor.stop_now()
        elif kind == "folded":
            supervisor.memory.folded(message["serial"])

    def _answer(self, child: Child, request: int, refusal: str | None) -> None:
        if child in self._supervisor.children:
            self._supervisor.children.send(child, {"type": "answer", "request": request, "refusal": refusal})

    def _interrupt(self) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            log.info("SIGINT: shutting down gracefully; once more to stop at once")
            self._supervisor.stop(0)
        else:
            log.info("SIGINT again: stopping at once")
            self._supervisor.stop_now()

    def _reopen_logs(self) -> None:
        """The supervisor opens the new `--log-path`, as only it may have the right to; the others get its descriptor.
        Workers reopen their access logs themselves, with or without one.
        """
        path, descriptors = self._supervisor.options.log_path, []
        if path:
            try:
                log_file.redirect(path)
                descriptors = [log_file.STDERR]
                log.info("reopened %s", path)
            except OSError as error:
                log.error("cannot open %s: %s; going on with the old file", path, error.strerror)
        else:
            log.info("the workers reopen their access logs; there is no --log-path")
        for child in self._supervisor.children:
            self._supervisor.children.send(child, {"type": "reopen_logs"}, descriptors)

    def _resize(self, generation: Generation, child: Child, count: int, request: int) -> None:
        refusal = self._refuse_resize()
        if refusal is not None:
            self._answer(child, request, refusal)
        else:
            generation.workforce.resize(count, lambda refusal: self._answer(child, request, refusal))

    def _refuse_resize(self) -> str | None:
        if not self._supervisor.reload.make_way():
            return "a reload is in progress; try again when it is done"
        return "a hot restart is in progress; try again when it is done" if self._supervisor.restart.busy else None

    def _restart(self, message: dict[str, Any]) -> str | None:
        try:
            request = restart_request.read(message, self._supervisor.directory.path)
        except (ValueError, KeyError, TypeError, OSError) as error:
            log.warning("restart refused: %s", error)
            return str(error)
        return self._supervisor.restart.ask(request)

    def _order(self, name: str, value: Any) -> str | None:
        """A standing order: for everybody who lives, and who starts later."""
        supervisor = self._supervisor
        supervisor.orders[name] = value
        if name == "log":
            process_log.set_levels(value["levels"])
        elif name == "drain" and value:
            supervisor.restart.on(Failed(EXIT_STOPPED, "listeners were drained meanwhile"))
        for generation in supervisor.generations:
            for worker in generation.workforce.everyone():
                supervisor.children.send(worker, {"type": "order", "name": name, "value": value})
        # The workers first: whoever is accepted while the queues are emptied is told to leave.
        return supervisor.drains.obey(value) if name == "drain" else None


def _warn(refusal: str | None) -> None:
    if refusal is not None:
        log.warning("%s", refusal)
