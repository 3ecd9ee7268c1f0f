"""The generation whose controller leads: it answers the admin interface, and alone folds what ended processes counted.

Everything that a controller must know of the whole instance goes through here, so that nobody else asks which
generation leads.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from master.supervisor.restart_sequence import Event, Phase

if TYPE_CHECKING:
    from master.supervisor.generation import Generation
    from master.supervisor.supervisor import Supervisor


class Leader:
    """`generation` is None only until the first one is made. `counters_base` is a sealed memfd: the counters at their
    last reset.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.generation: Generation | None = None
        self.counters_base: int | None = None

    def introduction(self, generation: Generation) -> tuple[dict[str, int], dict[str, Any]]:
        """What `generation`'s controller gets when it begins to lead: named descriptors, and the message."""
        memory = self._supervisor.memory
        memory.region(generation.slots["controller"])  # its own too, though it may still wait for a template
        named = {
            **generation.sockets.admin_named(),
            **{f"region/{slot}": fd for slot, fd in memory.regions.items()},
            **{f"ring/{slot}": fd for slot, fd in memory.rings.items()},
            **{f"ended/{serial}": fd for serial, fd in memory.ended.items()},
            **({"counters_base": self.counters_base} if self.counters_base is not None else {}),
        }
        return named, {"type": "lead", "orders": self._supervisor.orders, **self._state(generation)}

    def tell(self, message: dict[str, Any], *, give: list[int] | None = None) -> None:
        """Sends `message` and the descriptors `give`, which are closed if there is no controller at this moment."""
        controller = self.generation.controller if self.generation is not None else None
        if controller is not None:
            self._supervisor.children.send(controller, message, give=give or ())
            return
        for fd in give or ():
            os.close(fd)

    def tell_state(self) -> None:
        if self.generation is not None:
            self.tell({"type": "state", **self._state(self.generation)})

    def _state(self, generation: Generation) -> dict[str, Any]:
        supervisor = self._supervisor
        return {
            "state": supervisor.state,
            "listeners": generation.sockets.bound(),
            "stopped": supervisor.drains.stopped,
            "generations": [(one.number, one.state, one.ends_at) for one in supervisor.generations],
            "restart": supervisor.restart.status(),
        }

    # --- regions of shared memory, which it reads ---------------------------------------------------------------------

    def announce_region(self, slot: int) -> None:
        """A process of `slot` begins to count."""
        memory = self._supervisor.memory
        self.tell({"type": "region", "slot": slot}, give=[os.dup(memory.region(slot)), os.dup(memory.ring(slot))])

    def renew_region(self, slot: int) -> None:
        """The next process of `slot` begins with an empty region."""
        self._tell_ended(slot, self._supervisor.memory.end_region(slot))
        self.announce_region(slot)

    def release_slot(self, slot: int) -> None:
        """Nobody uses `slot` any more; what its processes counted is folded."""
        self._tell_ended(slot, self._supervisor.memory.release_slot(slot))

    def _tell_ended(self, slot: int, serial: int | None) -> None:
        if serial is not None:
            self.tell({"type": "ended", "slot": slot, "serial": serial})

    # --- from one leader to the next ----------------------------------------------------------------------------------

    def needs(self, generation: Generation) -> bool:
        """The admin interface stays until every worker of every generation has gone."""
        others = self._supervisor.generations
        return generation is self.generation and any(other.workforce.alive() for other in others)

    def is_awaited(self, generation: Generation) -> bool:
        """Somebody waits for this generation's controller to let go."""
        return generation is self.generation and self._supervisor.restart.progress.phase == Phase.HANDOVER

    def on_retired(self, generation: Generation) -> None:
        """Its controller writes nothing any more that only one may write."""
        if self.is_awaited(generation):
            self._supervisor.restart.on(Event.RETIRED)
