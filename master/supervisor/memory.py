"""All shared memory of the instance: created here, handed to children by descriptor, cleaned up after their deaths."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from master.supervisor.state import Fd
from proxy.upstream.tables import CLUSTER_GAUGES, HOST_GAUGES, ClusterColumn, HostColumn
from shm import fold, metrics, ring, table
from shm.processes import ProcessTable, Role, Word

SUPERVISOR_SLOT = 0
MAX_SLOTS = 192  # three generations of 60 workers, controller and template
_OF_ONE_PROCESS = (  # in a slot that outlives it; PID first
    Word.PID, Word.STATE, Word.HEARTBEAT_NS, Word.CONNECTIONS, Word.REQUESTS_ACTIVE, Word.LOOP_LAG_NS, Word.BEATS,
    Word.BEATS_LATE, Word.REQUESTS, Word.REQUESTS_FAILED,
)  # fmt: skip
RING_SLOTS, RING_SLOT_BYTES = 256, 2048  # the last failed and slow requests of one worker


@dataclass(frozen=True, slots=True)
class Tables:
    """The hosts' and clusters' words of one generation: another configuration may number its rows otherwise."""

    hosts: int
    clusters: int

    @classmethod
    def create(cls, *, hosts: int, clusters: int) -> Tables:
        return cls(
            table.create_table(
                "hosts", rows=max(1, hosts), columns=len(HostColumn), gauges=HOST_GAUGES, writers=MAX_SLOTS
            ),
            table.create_table(
                "clusters", rows=max(1, clusters), columns=len(ClusterColumn), gauges=CLUSTER_GAUGES, writers=MAX_SLOTS
            ),
        )

    def after_death(self, slot: int) -> None:
        table.zero_plane(self.hosts, slot)
        table.zero_plane(self.clusters, slot)

    def close(self) -> None:
        os.close(self.hosts)
        os.close(self.clusters)


class Memory:
    """Slots are unique among live processes, over all generations. A slot's metrics region goes on with the next
    process in that slot.
    """

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        """New, or as `state` has it (the inverse of the method)."""
        if state is None:
            self.processes_fd = ProcessTable.create(MAX_SLOTS)
            self.base = fold.create_base()
            self.regions: dict[int, int] = {}  # slot → region
            self.rings: dict[int, int] = {}  # slot → flight recorder; it stays when the slot is given up
            self.ended: dict[int, int] = {}  # serial → region of a slot that was given up, until it is folded
            self._serials: dict[int, int] = {}
            self._next_serial = 1
            self._used = {SUPERVISOR_SLOT}
        else:
            self.processes_fd = state["processes"]
            self.base = state["base"]
            self.regions = _by_number(state["regions"])
            self.rings = _by_number(state["rings"])
            self.ended = _by_number(state["ended"])
            self._serials = _by_number(state["serials"])
            self._next_serial = state["next_serial"]
            self._used = set(state["used"])
        self.processes = ProcessTable(self.processes_fd)

    def state(self) -> dict[str, Any]:
        """For the successor over an exec (`state.py`)."""
        return {
            "processes": Fd(self.processes_fd),
            "base": Fd(self.base),
            "regions": _descriptors(self.regions),
            "rings": _descriptors(self.rings),
            "ended": _descriptors(self.ended),
            "serials": {str(slot): serial for slot, serial in self._serials.items()},
            "next_serial": self._next_serial,
            "used": sorted(self._used),
        }

    def take_slot(self) -> int | None:
        """A free slot, or None when all are in use."""
        for slot in range(self.processes.slots):
            if slot not in self._used:
                self._used.add(slot)
                return slot
        return None

    def has_slots(self, count: int) -> bool:
        return self.processes.slots - len(self._used) >= count

    def region(self, slot: int) -> int:
        """The slot's metrics region, made on first use."""
        if slot not in self.regions:
            self._serials[slot] = self._next_serial
            self.regions[slot] = metrics.create_region(self._next_serial)
            self._next_serial += 1
        return self.regions[slot]

    def ring(self, slot: int) -> int:
        """The slot's flight recorder, made on first use; what a dead process wrote stays readable."""
        if slot not in self.rings:
            self.rings[slot] = ring.create_ring(slots=RING_SLOTS, slot_bytes=RING_SLOT_BYTES)
        return self.rings[slot]

    def after_death(self, slot: int) -> None:
        """A dead process has no connections: its gauges become 0; its counters stay. See `Tables.after_death` too."""
        if slot in self.regions:
            metrics.zero_gauges(self.regions[slot])
        for word in _OF_ONE_PROCESS:
            self.processes.write(slot, word, 0)

    def release_slot(self, slot: int) -> int | None:
        """Give the slot up after its last process: its region waits in `ended` under the returned serial."""
        self._used.discard(slot)
        restarts = self.processes.read(SUPERVISOR_SLOT).ended_restarts + self.processes.read(slot).restarts
        self.processes.write(SUPERVISOR_SLOT, Word.ENDED_RESTARTS, restarts)
        self.processes.clear(slot)
        return self.end_region(slot)

    def end_region(self, slot: int) -> int | None:
        """Give the slot's region up: it waits in `ended` under the returned serial, and the next one is new."""
        if slot not in self.regions:
            return None
        serial = self._serials.pop(slot)
        self.ended[serial] = self.regions.pop(slot)
        return serial

    def folded(self, serial: int) -> None:
        """The controller has added the ended region to the base: it may go."""
        fd = self.ended.pop(serial, None)
        if fd is not None:
            os.close(fd)

    def describe(self, slot: int, *, role: str, pid: int, index: int, generation: int, started_ns: int) -> None:
        """Publish who lives in `slot`."""
        self.processes.write(slot, Word.ROLE, Role[role.upper()])
        self.processes.write(slot, Word.INDEX, index)
        self.processes.write(slot, Word.GENERATION, generation)
        self.processes.write(slot, Word.STARTED_NS, started_ns)
        self.processes.write(slot, Word.PID, pid)

    def add_restart(self, slot: int) -> None:
        self.processes.write(slot, Word.RESTARTS, self.processes.read(slot).restarts + 1)


def _descriptors(fds: dict[int, int]) -> dict[str, Fd]:
    return {str(key): Fd(fd) for key, fd in fds.items()}


def _by_number(texts: dict[str, int]) -> dict[int, int]:
    return {int(key): value for key, value in texts.items()}
