"""The controller: configuration, discovery, the admin interface, and the one view of all processes.

It may die at any moment: workers serve on, and its successor starts from the committed configuration and the last
published endpoints, both held by the supervisor.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, cast

import msgspec
import trio

from master.admin import server as admin
from master.admin.view import RejectedError, State
from master.controller import server_stats
from master.controller.drains import Drains, begun, undone
from master.controller.regions import Regions
from master.controller.standing import StandingOrders
from master.dns.refresh import discover
from master.dns.slots import SlotAllocator
from proxy.config.cluster import Endpoints, decode_endpoints, encode_endpoints
from shm import memfd
from shm.metrics import Metrics, MetricsWriter
from shm.processes import ProcessInfo, ProcessTable, Role, Word
from shm.processes import State as ProcessState
from shm.ring import RingReader
from shm.table import TableReader, clear_row, grow
from workers import committed
from workers.heartbeat import beat
from workers.link import Received, SupervisorLink, close_all, reopen_logs

log = logging.getLogger("controller")

REQUEST_DEADLINE = 60.0  # seconds for the supervisor to answer a request
APPLY_DEADLINE = 2.0  # seconds for every worker to apply endpoints
APPLY_POLL = 0.02
FREE_INTERVAL = 1.0  # seconds between looks at host slots that might be reused


class Controller:
    """Implements `master.admin.view.ServerView`."""

    def __init__(self, order: dict[str, Any], inherited: dict[str, int], link: SupervisorLink) -> None:
        self._link = link
        self._inherited = inherited
        self._slot: int = order["slot"]
        self.config = committed.read(inherited["config"])
        self.endpoints = self.config.endpoints
        if "endpoints" in inherited:
            self.endpoints = decode_endpoints(memfd.read_all(inherited["endpoints"]))
        self.options: dict[str, Any] = json.loads(order["options"])
        self.own_state: State = order["state"]
        self._standing = StandingOrders(order["orders"], self.options["log_level"], link.send)
        self._counters_base: dict[str, int] = {}
        if "counters_base" in inherited:
            self._counters_base = msgspec.msgpack.decode(memfd.read_all(inherited["counters_base"]))
        self.listeners: list[tuple[str, list[str]]] = [(name, addresses) for name, addresses in order["listeners"]]
        self.listeners_stopped: int = order["stopped"]
        self.hosts = TableReader(inherited["hosts"])
        self.clusters = TableReader(inherited["clusters"])
        self._processes = ProcessTable(inherited["processes"])
        supervisor = self._processes.read(0)
        self.started_at = time.time() - (time.monotonic_ns() - supervisor.started_ns) / 1e9
        self._stats = MetricsWriter(inherited["region"])
        self._regions = Regions(inherited["base"])
        self.rings: dict[int, RingReader] = {}  # the workers' flight recorders
        self._slots = SlotAllocator(self.endpoints, rows=self.hosts.rows)
        self._requests: dict[int, trio.MemorySendChannel[str | None]] = {}
        self._next_request = 0

    # --- ServerView -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """What the instance says of itself: one whose health check is failed asks to be drained."""
        return "DRAINING" if self.own_state == "LIVE" and self.health_check_failed else self.own_state

    @property
    def health_check_failed(self) -> bool:
        return self._standing.health_check_failed

    @property
    def drains(self) -> Drains:
        return self._standing.drains

    @property
    def log_levels(self) -> Mapping[str, str]:
        return self._standing.log_levels

    def metrics(self) -> Metrics:
        merged = self._all_metrics()
        for name, value in self._counters_base.items():
            if name in merged.counters:
                merged.counters[name] = max(0, merged.counters[name] - value)
        return merged

    def _all_metrics(self) -> Metrics:
        merged = self._regions.merged()
        server_stats.add(merged, self)
        return merged

    def processes(self) -> list[ProcessInfo]:
        return self._processes.live()

    async def shutdown(self, *, now: bool = False) -> None:
        await self._link.send({"type": "shutdown", "now": now})

    async def set_workers(self, count: int) -> None:
        """Ask the supervisor for `count` workers; returns when they serve. Raises `RejectedError` with the reason."""
        await self._ask(lambda request: self._link.send({"type": "workers", "count": count, "request": request}))

    async def _ask(self, send_request: Callable[[int], Awaitable[None]]) -> None:
        """Wait for the supervisor's answer to a message with the number of a request. Raises `RejectedError`."""
        self._next_request += 1
        request = self._next_request
        send, receive = trio.open_memory_channel[str | None](1)
        self._requests[request] = send
        try:
            await send_request(request)
            with trio.fail_after(REQUEST_DEADLINE):
                refusal = await receive.receive()
        except trio.TooSlowError:
            raise RejectedError(f"no answer from the supervisor within {REQUEST_DEADLINE:.0f} s") from None
        finally:
            del self._requests[request]
        if refusal is not None:
            raise RejectedError(refusal)

    async def set_log_levels(self, levels: Mapping[str, str], *, seconds: float | None = None) -> None:
        await self._standing.set_log_levels(levels, seconds)

    async def fail_health_check(self, failed: bool) -> None:
        await self._standing.give("health_check_failed", failed)

    async def drain_listeners(self, names: Collection[str], *, graceful: bool, close: bool) -> None:
        drains = begun(
            self.drains,
            names,
            now=time.monotonic(),
            seconds=self.options["drain_time"],
            immediate=self.options["drain_strategy"] == "Immediate",
            graceful=graceful,
            close=close,
        )
        await self._standing.give("drain", drains)

    async def undo_drain(self, names: Collection[str]) -> None:
        drains = undone(self.drains, names)
        await self._ask(lambda request: self._standing.give("drain", drains, request=request))

    async def reset_counters(self) -> None:
        """Other processes' words are theirs: what is shown is the difference to now. The supervisor keeps the base."""
        self._counters_base = dict(self._all_metrics().counters)
        fd = memfd.sealed("trireme-counters", msgspec.msgpack.encode(self._counters_base))
        try:
            await self._link.send({"type": "counters_base"}, [fd])
        finally:
            os.close(fd)

    async def reopen_logs(self) -> None:
        await self._link.send({"type": "reopen_logs"})

    # --- running --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the supervisor says stop, or is gone."""
        self._processes.write(self._slot, Word.STATE, ProcessState.STARTING)
        self._take_inherited_regions()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(beat, self._processes, self._slot)
            nursery.start_soon(self._free_slots)
            nursery.start_soon(self._standing.revert_log_levels)
            nursery.start_soon(admin.serve, self, self._admin_sockets(), self._stats)
            await self._fold_ended()
            nursery.start_soon(self._initialise, nursery)
            while (received := await self._link.receive()) is not None:
                if received.message["type"] == "stop":
                    break
                await self._on_message(received)
            nursery.cancel_scope.cancel()

    async def _initialise(self, nursery: trio.Nursery) -> None:
        """Ready is who knows the hosts of every cluster: each name has had a first answer, be it a failure."""
        arguments = (self.config, self.endpoints, self._stats, self.publish)
        await nursery.start(functools.partial(discover, *arguments, slots=self._slots))
        self._processes.write(self._slot, Word.STATE, ProcessState.SERVING)
        await self._link.send({"type": "ready"})

    def _admin_sockets(self) -> list[socket.socket]:
        sockets = [socket.socket(fileno=fd) for name, fd in self._inherited.items() if name.startswith("admin/")]
        for sock in sockets:
            sock.setblocking(False)
        return sockets

    def _take_inherited_regions(self) -> None:
        for name, fd in self._inherited.items():
            kind, _, number = name.partition("/")
            if kind == "region" and number:
                self._regions.add(int(number), fd)
            elif kind == "ring" and number:
                self._add_ring(int(number), fd)

    def _add_ring(self, slot: int, fd: int) -> None:
        """A slot keeps its ring for ever; one that is known already came again with the slot's next region."""
        if slot in self.rings:
            os.close(fd)
        else:
            self.rings[slot] = RingReader(fd)

    async def _fold_ended(self) -> None:
        """What ended while there was no controller."""
        for name, fd in self._inherited.items():
            kind, _, serial = name.partition("/")
            if kind == "ended":
                self._regions.fold(fd)
                os.close(fd)
                await self._link.send({"type": "folded", "serial": int(serial)})

    async def _on_message(self, received: Received) -> None:
        message = received.message
        kind = message["type"]
        if kind == "region":
            self._regions.add(message["slot"], received.fds[0])
            self._add_ring(message["slot"], received.fds[1])
            return
        if kind == "ended":
            if self._regions.end(message["slot"], message["serial"]):
                await self._link.send({"type": "folded", "serial": message["serial"]})
        elif kind == "state":
            self.own_state = cast(State, message["state"])
            self.listeners = [(name, addresses) for name, addresses in message["listeners"]]
            self.listeners_stopped = message["stopped"]
        elif kind == "reopen_logs":
            reopen_logs(received)
        elif kind == "answer":
            waiting = self._requests.get(message["request"])
            if waiting is not None:
                waiting.send_nowait(message["refusal"])
        close_all(received.fds)

    # --- publishing hosts -----------------------------------------------------------------------------------------

    async def publish(self, endpoints: Endpoints) -> None:
        """Hand `endpoints` to the supervisor, which keeps them for new workers and tells the living.

        Returns once every worker has applied them, or after `APPLY_DEADLINE`: the supervisor replaces who hangs.
        """
        grow(self._inherited["hosts"], self._slots.rows)
        for row in self._slots.take_reused():
            clear_row(self._inherited["hosts"], row)
        fd = memfd.sealed("trireme-endpoints", encode_endpoints(endpoints))
        try:
            await self._link.send({"type": "endpoints"}, [fd])
        finally:
            os.close(fd)
        self.endpoints = endpoints
        with trio.move_on_after(APPLY_DEADLINE):
            while not self._applied(endpoints.version):  # noqa: ASYNC110 - the words are shared memory
                await trio.sleep(APPLY_POLL)
            return
        log.warning("not every worker has applied version %d of the hosts in time", endpoints.version)

    async def _free_slots(self) -> None:
        """Let host slots be reused whose host no worker talks to any more."""
        freed = -1
        while True:
            await trio.sleep(FREE_INTERVAL)
            workers = [p.endpoints_drained for p in self._processes.live() if p.role == Role.WORKER]
            drained = min(workers, default=freed)
            if drained > freed:
                self._slots.acknowledged(drained)
                freed = drained

    def _applied(self, version: int) -> bool:
        return all(p.endpoints_version >= version for p in self._processes.live() if p.role == Role.WORKER)
