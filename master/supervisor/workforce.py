"""The workers of a generation: how many there are, which index each has, and what they are told about one another.

Worker *i* accepts on socket *i* of each listener. The number of sockets never shrinks (closing one resets its queue),
so with fewer workers, worker *j* also serves *j + N·k*. Every worker knows `count` (N) and `listening` (how many socket
indexes the kernel queues connections on) and derives from them what it polls (workers/accepting.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from master.supervisor.bind import BindError
from master.supervisor.child import Child
from master.supervisor.respawn import Backoff

if TYPE_CHECKING:
    from master.supervisor.generation import Generation

log = logging.getLogger("supervisor")

RESIZE_DEADLINE = 30.0  # seconds for new workers to become ready

Done = Callable[[str | None], None]  # called with the reason of a refusal, or None when the new number serves


class Workforce:
    def __init__(self, generation: Generation, count: int) -> None:
        self.count = count
        self.listening = 0  # 0 until the generation serves
        self._generation = generation
        self._workers: dict[int, Child] = {}  # by index
        self._retiring: list[Child] = []
        self._successors: dict[int, Child] = {}  # by index: not ready yet, and the old ones serve on
        self._backoff: dict[int, Backoff] = {}
        self._slots: dict[int, int] = {}  # index → slot, kept over a respawn
        self._canary: list[str] | None = None  # what worker 0 accepts on before the generation serves
        self._target: int | None = None
        self._done: Done | None = None

    # --- who there is ---------------------------------------------------------------------------------------------

    def everyone(self) -> Iterator[Child]:
        yield from list(self._workers.values())
        yield from list(self._successors.values())
        yield from list(self._retiring)

    def alive(self) -> bool:
        return bool(self._workers or self._successors or self._retiring)

    def serving(self) -> Iterator[Child]:
        """Those that accept and are to go on."""
        return (child for child in list(self._workers.values()) if child.state == "ready")

    @property
    def ready(self) -> int:
        """How many are ready."""
        return sum(child.state == "ready" for child in self._workers.values())

    @property
    def changing(self) -> bool:
        """A change of the number of workers is under way."""
        return self._target is not None

    def all_ready(self) -> bool:
        return self._are_ready(self.count)

    def _are_ready(self, count: int) -> bool:
        return all(i in self._workers and self._workers[i].state == "ready" for i in range(count))

    # --- starting -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Spawn those that are missing; `serve` follows once all are ready."""
        for index in range(self.count):
            self._spawn(index)

    def _spawn(self, index: int) -> None:
        if self._generation.stopping or index in self._workers or index >= max(self.count, self._target or 0):
            return
        slot = self._slots.get(index)
        if slot is None:
            slot = self._generation.supervisor.memory.take_slot()
            if slot is None:
                log.error("no free slot for worker %d", index)
                return
            self._slots[index] = slot
            self._generation.supervisor.leader.announce_region(slot)
        child = Child.create(self._generation, "worker", index=index, slot=slot)
        self._workers[index] = child
        self._generation.spawning.spawn(child)

    def on_ready(self, child: Child) -> None:
        if self._successors.get(child.index) is child:
            self._succeed(child)
        elif self._target is not None and self._are_ready(self._target):
            self._finish_growth()
        elif self.listening:
            self._tell_topology(child)
        elif self._canary is not None and child.index == 0:
            self._tell_canary(child)
        else:
            self._generation.supervisor.on_progress(self._generation)

    def try_one(self, sockets: list[str]) -> None:
        """Worker 0 alone accepts on these sockets, beside the worker of the generation that serves."""
        self._canary = sockets
        self._tell_canary(self._workers[0])

    def _tell_canary(self, child: Child) -> None:
        self._generation.send(child, {"type": "topology", "count": 1, "listening": 1, "among": self._canary})

    def serve(self) -> None:
        """All are ready: the kernel queues connections for them, and they accept."""
        self._generation.sockets.rename()
        for index in range(self.count):
            self._generation.sockets.listen(index)
        self.listening = max(self.count, self._generation.sockets.listening)
        self._canary = None
        self._tell_everybody()

    def _tell_everybody(self) -> None:
        for child in self._workers.values():
            self._tell_topology(child)

    def _tell_topology(self, child: Child) -> None:
        self._generation.send(child, {"type": "topology", "count": self.count, "listening": self.listening})

    # --- another worker in place of one -----------------------------------------------------------------------------

    def replace(self, child: Child) -> bool:
        """Have a successor begin, and then `child` leave gracefully; False if now is not the time."""
        waits = child.index in self._successors or any(old.index == child.index for old in self._retiring)
        if self._generation.stopping or self.changing or waits:
            return False
        slot = self._generation.supervisor.memory.take_slot()
        if slot is None:
            return False
        self._generation.supervisor.leader.announce_region(slot)
        self._successors[child.index] = Child.create(self._generation, "worker", index=child.index, slot=slot)
        self._generation.spawning.spawn(self._successors[child.index])
        return True

    def _succeed(self, child: Child) -> None:
        """Both accept until the old one has its order."""
        index = child.index
        self._tell_topology(child)
        self._retire(index, self._generation.supervisor.options.drain_time)
        self._workers[index] = self._successors.pop(index)
        self._slots[index] = child.slot

    # --- another number of workers --------------------------------------------------------------------------------

    def resize(self, count: int, done: Done) -> None:
        """Serve with `count` workers; `done` is called when they do, or with the reason why not."""
        if not self.listening or self._generation.stopping:
            return done(f"cannot change the number of workers while generation {self._generation.number} is "
                        f"{self._generation.state}")  # fmt: skip
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
        generation = self._generation
        if not generation.supervisor.memory.has_slots(count - self.count):
            return done(f"{count} workers are more than there are slots for (draining workers count too)")
        try:
            new = [generation.sockets.ensure(index) for index in range(self.count, count)]
        except BindError as error:
            return done(str(error))
        for sockets in new:
            self.give_sockets(sockets)
        self._target, self._done = count, done
        for index in range(self.count, count):
            self._spawn(index)
        generation.supervisor.timers.after(RESIZE_DEADLINE, lambda: self._abandon_growth(count))
        return None

    def give_sockets(self, named: dict[str, int]) -> None:
        """Tell all workers that accept of new listening sockets."""
        if named:
            for child in self._workers.values():
                self._generation.send(child, {"type": "sockets"}, named=named)

    def _finish_growth(self) -> None:
        assert self._target is not None
        first, self.count, self._target = self.count, self._target, None
        for index in range(first, self.count):
            self._generation.sockets.listen(index)
        self.listening = max(self.count, self.listening)
        self._tell_everybody()
        self._complete(None)

    def _abandon_growth(self, count: int) -> None:
        if self._target != count:
            return
        self._target = None
        for index in range(self.count, count):
            self._retire(index, self._generation.supervisor.options.drain_time)
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
            self._retire(index, self._generation.supervisor.options.drain_time)

    def _retire(self, index: int, deadline: float, ending: Sequence[str] = (), hand_over: Sequence[str] = ()) -> None:
        child = self._workers.pop(index, None)
        self._backoff.pop(index, None)
        slot = self._slots.pop(index, None)
        if child is None:  # dead, and waiting for its respawn
            if slot is not None:
                self._generation.supervisor.leader.release_slot(slot)
            return
        child.state = "draining"
        self._retiring.append(child)
        order = {"type": "drain", "deadline": deadline, "idle": deadline, "ending": ending, "sweep": False}
        self._generation.send(child, {**order, "hand_over": hand_over})

    # --- stopping and dying ---------------------------------------------------------------------------------------

    def drain(self, deadline: float, ending: Sequence[str], hand_over: Sequence[str]) -> None:
        """Everybody finishes what they have within `deadline` seconds and leaves. They accept on the sockets `ending`
        until these are shut down (`draining.py`); the others are served on by others. Idle connections of the listeners
        `hand_over` come to us, which passes them on to the successor (`adoption.py`).
        """
        for child in self._successors.values():
            child.state = "draining"
            self._retiring.append(child)
            self._generation.send(child, {"type": "stop"})
        self._successors.clear()
        for index in set(self._workers) | set(self._slots):
            self._retire(index, deadline, ending, hand_over)

    def adopters(self) -> list[Child]:
        """Those who may have connections of another generation."""
        return list(self._workers.values())

    def _gone(self, child: Child) -> None:
        """It is no longer among the workers."""
        self._workers.pop(child.index, None)
        self._generation.supervisor.adoptions.bereaved(child)

    def stop(self, deadline: float, ending: Sequence[str], *, sweep: bool) -> None:
        """The same at the end of the instance. `sweep`: of sockets that are not `ending`, as systemd holds them, they
        take what waits now, and leave the rest to whoever is started next.
        """
        idle = min(deadline, self._generation.supervisor.options.shutdown_idle_time)
        order = {"type": "drain", "deadline": deadline, "idle": idle, "ending": ending, "sweep": sweep}
        for child in self.everyone():
            child.state = "draining"
            self._generation.send(child, order)

    def forget(self, child: Child) -> None:
        """It was to be spawned, and will not be."""
        if self._drop_successor(child):
            return
        if child in self._retiring:
            self._retiring.remove(child)
            self._generation.supervisor.leader.release_slot(child.slot)
        else:
            self._gone(child)

    def on_death(self, child: Child, lived: float) -> None:
        supervisor = self._generation.supervisor
        if self._drop_successor(child):
            return
        if child in self._retiring:
            self._retiring.remove(child)
            supervisor.leader.release_slot(child.slot)
            supervisor.adoptions.bereaved(child)
            return
        self._gone(child)
        if child.index in self._successors and not self._generation.stopping:
            self._workers[child.index] = successor = self._successors.pop(child.index)
            supervisor.leader.release_slot(self._slots.pop(child.index, child.slot))
            self._slots[child.index] = successor.slot
            return
        if self._generation.stopping:
            supervisor.leader.release_slot(self._slots.pop(child.index, child.slot))
            return
        supervisor.memory.add_restart(child.slot)
        backoff = self._backoff.setdefault(child.index, Backoff())
        delay = backoff.died(lived=lived, ready=child.state != "starting")
        if child.state == "starting" and backoff.early_deaths > 1:
            supervisor.leader.renew_region(child.slot)  # it may die of what its predecessor left there
        self._generation.respawn_later(child.name, delay, lambda: self._spawn(child.index))
        self._generation.give_up_if_start_failed(backoff, child)

    def _drop_successor(self, child: Child) -> bool:
        """Whether it was one: then whom it was to succeed serves on."""
        if self._successors.get(child.index) is not child:
            return False
        del self._successors[child.index]
        self._generation.supervisor.leader.release_slot(child.slot)
        return True

    def on_lost(self, child: Child) -> None:
        """Ordered from a template that died: order again, unless nobody is started any more."""
        if self._drop_successor(child):
            return
        if child in self._retiring:
            self._retiring.remove(child)
            self._generation.supervisor.leader.release_slot(child.slot)
        else:
            self._gone(child)
            self._spawn(child.index)

    def close(self) -> None:
        """Give up the slots of workers that were waiting for their respawn."""
        for slot in self._slots.values():
            self._generation.supervisor.leader.release_slot(slot)
        self._slots.clear()

    # --- over an exec ---------------------------------------------------------------------------------------------

    def adopt(self, workers: Iterable[Child], *, listening: int) -> None:
        """Go on with these workers; those that are missing are started."""
        self.listening = listening
        for child in workers:
            if child.state == "draining":
                self._retiring.append(child)
            else:
                self._workers[child.index] = child
                self._slots[child.index] = child.slot
