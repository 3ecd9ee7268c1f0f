"""How one new configuration gets to the workers: each prepares it beside what it serves, and then all change over.

A worker that neither answers nor gives a sign of life is replaced, and no longer counts. One that starts meanwhile
began with the old configuration: it gets both orders at once when the others change over.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from master.supervisor.child import Child
from shm.processes import ProcessInfo

if TYPE_CHECKING:
    from master.supervisor.generation import Generation

SILENCE = 2.0  # seconds without an answer or a heartbeat after which a worker is replaced
DEADLINE = 30.0  # seconds for those that live, but are slow
LONGEST_LOOK = 0.5  # seconds between two looks that count: when we ourselves were not running, nobody is accused


class Rollout:
    """Of configuration `version`, whose committed form and hosts are in these descriptors, which stay the caller's."""

    def __init__(self, generation: Generation, version: int, *, config: int, endpoints: int) -> None:
        self.version = version
        self.refusal = ""  # why a worker cannot build it
        self.replaced: list[str] = []  # who did not answer
        self._generation = generation
        self.config, self.endpoints = config, endpoints
        self._waiting: set[Child] = set()
        self._prepared: set[Child] = set()
        self._patience = 0.0
        self._looked = time.monotonic()
        self._ends = 0.0

    @property
    def waiting(self) -> int:
        """How many have not answered yet."""
        return len(self._waiting)

    @property
    def total(self) -> int:
        return len(self._prepared | self._waiting)

    def prepare(self) -> None:
        """Everybody who serves gets the new configuration."""
        everyone = [child for child in self._generation.workforce.everyone() if child.state == "ready"]
        self._begin(everyone)
        for child in everyone:
            self._send_config(child)

    def commit(self, order: Mapping[str, Any]) -> None:
        """Everybody changes over, those too who have started meanwhile. `order` are further keys of the message."""
        everyone = [child for child in self._generation.workforce.everyone() if child.state != "draining"]
        self._begin(child for child in everyone if child in self._prepared)
        for child in everyone:
            if child not in self._prepared:
                self._send_config(child)
            self._generation.send(child, {"type": "commit", "version": self.version, **order})

    def abort(self) -> None:
        """Everybody forgets it."""
        for child in self._prepared | self._waiting:
            if child in self._generation.supervisor.children:
                self._generation.send(child, {"type": "abort", "version": self.version})

    def answered(self, child: Child, message: Mapping[str, Any]) -> None:
        """`prepared`, `refused` or `committed`."""
        if message["version"] != self.version or child not in self._waiting:
            return
        if message["type"] == "refused":
            self.refusal = f"{child.name}: {message['reason']}"
        self._waiting.discard(child)
        self._prepared.add(child)

    def died(self, child: Child) -> None:
        """Its successor begins with what is committed."""
        self._waiting.discard(child)
        self._prepared.discard(child)

    def look(self, process: Callable[[Child], ProcessInfo]) -> bool:
        """Whether all have answered. Replaces those that have not in time. `process` tells what a worker says of itself
        in shared memory.
        """
        now = time.monotonic()
        self._waiting -= {child for child in self._waiting if process(child).config_version == self.version}
        self._patience += min(now - self._looked, LONGEST_LOOK)
        self._looked = now
        if self._patience >= SILENCE:
            for child in list(self._waiting):
                if now >= self._ends or now - process(child).heartbeat_ns / 1e9 >= SILENCE:
                    self.replaced.append(child.name)
                    self.died(child)
                    self._generation.supervisor.children.signal(child, signal.SIGKILL)
        return not self._waiting

    @property
    def nobody(self) -> bool:
        """Whoever was asked has died of it."""
        return not (self._waiting or self._prepared)

    def _begin(self, waiting: Iterable[Child]) -> None:
        self._waiting = set(waiting)
        self._looked = time.monotonic()
        self._patience, self._ends = 0.0, self._looked + DEADLINE

    def _send_config(self, child: Child) -> None:
        fds = (os.dup(self.config), os.dup(self.endpoints))
        self._generation.send(child, {"type": "prepare", "version": self.version}, give=fds)
