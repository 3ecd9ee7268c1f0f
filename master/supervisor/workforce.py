"""The workers: how many there are, which index each has, and what they are told about one another.

Worker *i* accepts on socket *i* of each listener. The number of sockets never shrinks (closing one resets its queue),
so with fewer workers, worker *j* also serves *j + N·k*. Every worker knows `count` (N) and `listening` (how many socket
indexes the kernel queues connections on) and derives from them what it polls (workers/accepting.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from master.supervisor.child import Child
from master.supervisor.respawn import Backoff
from master.supervisor.sockets import BindError

if TYPE_CHECKING:
    from master.supervisor.supervisor import Supervisor

log = logging.getLogger("supervisor")

RESIZE_DEADLINE = 30.0  # seconds for new workers to become ready

Done = Callable[[str | None], None]  # called with the reason of a refusal, or None when the new number serves


class Workforce:
    def __init__(self, supervisor: Supervisor, count: int) -> None:
        self.count = count
        self._supervisor = supervisor
        self._workers: dict[int, Child] = {}  # by index
        self._retiring: list[Child] = []
        self._backoff: dict[int, Backoff] = {}
        self._slots: dict[int, int] = {}  # index → slot, kept over a respawn
        self._listening = 0
        self._target: int | None = None
        self._done: Done | None = None

    # --- who there is ---------------------------------------------------------------------------------------------

    def everyone(self) -> Iterator[Child]:
        yield from self._workers.values()
        yield from self._retiring

    @property
    def listening(self) -> int:
        """On how many socket indexes the kernel queues connections."""
        return self._listening

    def ready(self) -> int:
        """How many of the workers that are wanted accept connections."""
        return sum(child.state == "ready" for child in self._workers.values())

    def alive(self) -> bool:
        return bool(self._workers or self._retiring)

    # --- starting -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bind for and spawn the first `count` workers; serving starts once all are ready."""
        for index in range(self.count):
            self._supervisor.sockets.ensure(index)
        for index in range(self.count):
            self._spawn(index)

    def _spawn(self, index: int) -> None:
        if self._supervisor.stopping or index in self._workers or index >= max(self.count, self._target or 0):
            return
        slot = self._slots.get(index)
        if slot is None:
            slot = self._supervisor.memory.take_slot()
            if slot is None:
                log.error("no free slot for worker %d", index)
                return
            self._slots[index] = slot
            self._announce_region(slot)
        child = Child.create("worker", index=index, slot=slot)
        self._workers[index] = child
        self._supervisor.spawn(child)

    def _announce_region(self, slot: int) -> None:
        memory = self._supervisor.memory
        fds = [memory.region(slot), memory.ring(slot)]
        self._supervisor.tell_controller({"type": "region", "slot": slot}, fds)

    def on_ready(self, child: Child) -> None:
        if self._target is not None and self._all_ready(self._target):
            self._finish_growth()
        elif self._listening:
            self._tell_topology(child)
        else:
            self.start_serving_if_ready()

    def _all_ready(self, count: int) -> bool:
        return all(i in self._workers and self._workers[i].state == "ready" for i in range(count))

    def start_serving_if_ready(self) -> None:
        """First start: listen once every worker could accept and the controller knows the hosts."""
        if self._listening or self._supervisor.stopping:
            return
        if self._all_ready(self.count) and self._supervisor.controller_ready():
            self._listen(max(self.count, self._supervisor.sockets.width))
            self._supervisor.on_serving()

    def _listen(self, count: int) -> None:
        for index in range(count):
            self._supervisor.sockets.listen(index)
        self._listening = max(self._listening, count)
        for child in self._workers.values():
            self._tell_topology(child)

    def _tell_topology(self, child: Child) -> None:
        self._supervisor.send(child, {"type": "topology", "count": self.count, "listening": self._listening})

    # --- another number of workers --------------------------------------------------------------------------------

    def resize(self, count: int, done: Done) -> None:
        """Serve with `count` workers; `done` is called when they do, or with the reason why not."""
        if not self._listening or self._supervisor.stopping:
            return done(f"cannot change the number of workers while the server is {self._supervisor.state}")
        if self._target is not None:
            return done(f"a change to {self._target} workers is in progress; try again when it is done")
        if count < 1:
            return done("at least 1 worker is needed")
        if count == self.count:
            return done(None)
        if count < self.count:
            self._shrink(count)
            return done(None)
        return self._grow(count, done)

    def _grow(self, count: int, done: Done) -> None:
        supervisor = self._supervisor
        if not supervisor.memory.has_slots(count - self.count):
            return done(f"{count} workers are more than there are slots for (draining workers count too)")
        try:
            new = [supervisor.sockets.ensure(index) for index in range(self.count, count)]
        except BindError as error:
            return done(str(error))
        for sockets in new:
            self.give_sockets(sockets)
        self._target, self._done = count, done
        for index in range(self.count, count):
            self._spawn(index)
        supervisor.timers.after(RESIZE_DEADLINE, lambda: self._abandon_growth(count))
        return None

    def give_sockets(self, named: dict[str, int]) -> None:
        """Tell all workers that accept of new listening sockets."""
        for child in self._workers.values():
            self._supervisor.send(child, {"type": "sockets"}, named=named)

    def _finish_growth(self) -> None:
        assert self._target is not None
        self.count, self._target = self._target, None
        self._listen(self.count)
        for child in self._workers.values():
            self._tell_topology(child)
        self._complete(None)

    def _abandon_growth(self, count: int) -> None:
        if self._target != count:
            return
        self._target = None
        for index in range(self.count, count):
            self._retire(index)
        self._complete(f"the new workers were not ready within {RESIZE_DEADLINE:.0f} s; still {self.count} worker(s)")

    def _complete(self, refusal: str | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(refusal)

    def _shrink(self, count: int) -> None:
        retired = range(count, self.count)
        self.count = count
        for index in range(count):
            if index in self._workers:
                self._tell_topology(self._workers[index])
        for index in retired:
            self._retire(index)

    def _retire(self, index: int) -> None:
        child = self._workers.pop(index, None)
        self._backoff.pop(index, None)
        slot = self._slots.pop(index, None)
        if child is None:  # dead, and waiting for its respawn
            if slot is not None:
                self._release(slot)
            return
        child.state = "draining"
        self._retiring.append(child)
        self.drain(child)

    # --- stopping and dying ---------------------------------------------------------------------------------------

    def drain(self, child: Child) -> None:
        """Have a worker end whose sockets others serve on: its connections leave with their next response."""
        seconds = self._supervisor.options.restart_drain_time
        self._supervisor.send(child, {"type": "drain", "deadline": seconds, "idle": seconds, "ending": None})

    def stop(self, *, ending: list[str]) -> None:
        """Have all workers end. They accept on the sockets `ending` until these are shut down (`draining.py`); of the
        others they take what waits now, and leave the rest to whoever is started next.
        """
        options = self._supervisor.options
        times = {"deadline": options.shutdown_drain_time, "idle": options.shutdown_idle_time}
        for child in self.everyone():
            child.state = "draining"
            self._supervisor.send(child, {"type": "drain", **times, "ending": ending})

    def forget(self, child: Child) -> None:
        """It was to be spawned, and will not be."""
        self._workers.pop(child.index, None)

    def on_death(self, child: Child, lived: float) -> None:
        if child in self._retiring:
            self._retiring.remove(child)
            self._release(child.slot)
            return
        self._workers.pop(child.index, None)
        if self._supervisor.stopping:
            return
        self._supervisor.memory.add_restart(child.slot)
        backoff = self._backoff.setdefault(child.index, Backoff())
        delay = backoff.died(lived=lived, ready=child.state != "starting")
        if child.state == "starting" and backoff.early_deaths > 1:
            self._renew_region(child.slot)
        self._supervisor.respawn_later(child.name, delay, lambda: self._spawn(child.index))
        self._supervisor.give_up_if_start_failed(backoff, child)

    def _renew_region(self, slot: int) -> None:
        """A worker that keeps dying at its start may die of what its predecessor left in the region."""
        self._tell_ended(slot, self._supervisor.memory.end_region(slot))
        self._announce_region(slot)

    def on_lost(self, child: Child) -> None:
        """Ordered from a template that died: order again."""
        if child in self._retiring:
            self._retiring.remove(child)
            self._release(child.slot)
        else:
            self._workers.pop(child.index, None)
            self._spawn(child.index)

    def _release(self, slot: int) -> None:
        self._tell_ended(slot, self._supervisor.memory.release_slot(slot))

    def _tell_ended(self, slot: int, serial: int | None) -> None:
        if serial is not None:
            self._supervisor.tell_controller({"type": "ended", "slot": slot, "serial": serial})
