"""All children of the supervisor, of every generation: their channels, their pids, their deaths."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from master.supervisor.child import Child
from shm import channel

log = logging.getLogger("supervisor")


class Children:
    """Messages and deaths go to the child's owner. `helpers` are processes that only end (preflight)."""

    def __init__(self, wakeup: int) -> None:
        """`wakeup`: becomes readable when `poll` shall return."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(wakeup, selectors.EVENT_READ, None)
        self._by_pid: dict[int, Child] = {}
        self._helpers: dict[int, Callable[[int], None]] = {}
        self._spawning: dict[int, tuple[Child, Child]] = {}  # by sequence number, until told the pid: child, template
        self._unclaimed: dict[int, int] = {}  # pid → wait status of deaths that came before the pid was told
        self._sequence = 0

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._by_pid.values()))

    def __bool__(self) -> bool:
        return bool(self._by_pid or self._spawning)

    @property
    def settled(self) -> bool:
        """Nothing is under way that only this process knows of."""
        return not (self._spawning or self._helpers or any(child.outbox.pending for child in self._by_pid.values()))

    def spawning(self, template: Child) -> Collection[Child]:
        """Who was ordered from `template` and has no pid yet."""
        return [child for child, its_template in self._spawning.values() if its_template is template]

    # --- coming ---------------------------------------------------------------------------------------------------

    def watch(self, child: Child) -> None:
        """Listen to its channel."""
        self._selector.register(child.outbox.sock, selectors.EVENT_READ, child)

    def add(self, child: Child) -> None:
        """It has a pid."""
        self._by_pid[child.pid] = child

    def add_helper(self, pid: int, on_death: Callable[[int], None]) -> None:
        self._helpers[pid] = on_death

    def ordered(self, child: Child, template: Child) -> int:
        """The sequence number under which `template` will tell the pid of `child`."""
        self._sequence += 1
        self._spawning[self._sequence] = child, template
        return self._sequence

    def spawned(self, sequence: int, pid: int) -> Child | None:
        """The child that the template has forked; None if it is dead already (its owner has been told)."""
        child, _ = self._spawning.pop(sequence)
        child.pid = pid
        status = self._unclaimed.pop(pid, None)
        if not self._spawning:
            self._unclaimed.clear()  # strangers that a child of ours left behind
        if status is None:
            self.add(child)
            return child
        self._buried(child, status)
        return None

    def take_lost(self, template: Child) -> list[Child]:
        """Who was ordered from a template that has died. If one was forked after all, the closed channel ends it."""
        lost = {sequence: child for sequence, (child, its) in self._spawning.items() if its is template}
        for sequence, child in lost.items():
            del self._spawning[sequence]
            self.abandon(child)
        return list(lost.values())

    def abandon(self, child: Child) -> None:
        """It will never be forked."""
        self._unwatch(child)
        child.abandon()

    # --- talking --------------------------------------------------------------------------------------------------

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
            self.signal(child, signal.SIGKILL)

    def signal(self, child: Child, number: signal.Signals) -> None:
        # The pid cannot have been reused: it stays ours until `reap` has waited for it.
        if child.pid in self._by_pid:
            os.kill(child.pid, number)

    def kill_all(self) -> None:
        for child in self:
            self.signal(child, signal.SIGKILL)
        for pid in self._helpers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def poll(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for messages, and hand them out."""
        for key in list(self._selector.get_map().values()):  # for writability exactly where something waits to be sent
            child: Child | None = key.data
            if child is not None:
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if child.outbox.pending else 0)
                if events != key.events:
                    self._selector.modify(key.fileobj, events, child)
        for key, events in self._selector.select(timeout):
            child = key.data
            if child is None:
                continue
            if events & selectors.EVENT_WRITE:
                child.outbox.flush()
            if events & selectors.EVENT_READ:
                self._receive(child)

    def _receive(self, child: Child) -> None:
        while True:
            try:
                message, fds = channel.receive(child.outbox.sock)
            except BlockingIOError:
                return
            except channel.ChannelClosedError:
                self._unwatch(child)  # its death is told by waitpid; until then there is nothing to read here
                return
            except ValueError as error:
                self._reject(child, error)
                return
            try:
                child.owner.on_message(child, message, fds)
            except (KeyError, TypeError, ValueError) as error:  # children serve strangers and are not trusted
                self._reject(child, error)
            finally:
                for fd in fds:
                    os.close(fd)

    def _reject(self, child: Child, error: Exception) -> None:
        log.error("%s (pid %d) sent an invalid message (%r); killing it", child.name, child.pid, error)
        self.signal(child, signal.SIGKILL)

    def _unwatch(self, child: Child) -> None:
        if child.outbox.sock in self._selector.get_map():
            self._selector.unregister(child.outbox.sock)

    # --- going ----------------------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Wait for all who have died, and tell their owners."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._by_pid.pop(pid, None)
            if child is not None:
                if child.outbox.sock in self._selector.get_map():
                    self._receive(child)  # its last words
                self._buried(child, status)
            elif pid in self._helpers:
                self._helpers.pop(pid)(status)
            elif self._spawning:
                self._unclaimed[pid] = status  # perhaps one of ours that died before the template told its pid

    def _buried(self, child: Child, status: int) -> None:
        self._unwatch(child)
        child.outbox.close()
        child.owner.on_death(child, status)


def describe(status: int) -> str:
    """An `os.wait` status in words."""
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit status {os.WEXITSTATUS(status)}"


def replace_fd(old: int | None, fds: list[int]) -> int:
    """Take the one descriptor of a message in place of `old`, which is closed."""
    if len(fds) != 1:
        raise ValueError(f"{len(fds)} descriptors instead of one")
    if old is not None:
        os.close(old)
    return fds.pop()
