"""From the listening sockets of one configuration to those of the next, in the middle of a reload."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from master.supervisor.bind import BindError
from master.supervisor.listening import ListenSockets, renamed
from shm import memfd

if TYPE_CHECKING:
    from master.supervisor.sockets import AddressSockets
    from master.supervisor.supervisor import Supervisor

log = logging.getLogger("supervisor")


class Changeover:
    """`tick` is called once per turn of the loop."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._leaving: set[AddressSockets] = set()  # their queues are being emptied

    def begin(self, before: ListenSockets, now: ListenSockets, *, mark: int, commit: Callable[[], None]) -> None:
        """New addresses listen, `commit` orders the workers to change over, and then they hear which socket is whose.
        What is gone lets nobody new come, and ends when its queue is empty.
        """
        supervisor = self._supervisor
        supervisor.drains.forget({bound.listener.name for bound in now.bounds})
        now.rename()
        names, new = renamed(before, now, mark=mark)
        open_ones = {bound.listener.name for bound in now.bounds if not supervisor.drains.closed(bound.listener.name)}
        try:
            new |= now.reopen(open_ones)  # addresses of a listener that was closed and has given them away
        except BindError as error:
            log.error("a listener that was closed stays so: %s", error)
        for index in range(supervisor.serving.workforce.listening):
            now.listen(index)  # before anybody polls them: what does not listen is taken for shut down
        commit()
        if names or new:
            self._tell(names, new)
        kept = now.in_use()
        gone = {bound.sockets for bound in before.bounds if bound.sockets.key not in kept}
        for address in gone:
            log.info("listener address %s is no longer configured: it is closed", address.bound())
        self._leaving |= gone
        supervisor.drains.close(gone)

    def tick(self) -> None:
        """Give up the addresses whose queue is empty."""
        for address in [one for one in self._leaving if not self._supervisor.drains.closing(one)]:
            self._leaving.discard(address)
            self._supervisor.release_unused({address.key})

    def _tell(self, names: dict[str, str], new: dict[str, int]) -> None:
        """All names at once: some change places."""
        told = memfd.sealed("trireme-sockets", json.dumps(names).encode())
        for child in self._supervisor.serving.workforce.everyone():
            if child.state != "draining":
                self._supervisor.children.send(child, {"type": "sockets"}, give=[os.dup(told)], named=new)
        os.close(told)
