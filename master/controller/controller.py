"""The controller: configuration, discovery, the admin interface, and the one view of all processes.

It may die at any moment: workers serve on, and its successor starts from the committed configuration and the last
published endpoints, both held by the supervisor.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Collection, Mapping
from typing import Any, cast

import msgspec
import trio

from master.admin import server as admin
from master.admin.pages import hot_restart as hot_restart  # before the code on disk is replaced, which it is there for
from master.admin.view import RejectedError, State
from master.controller import server_stats
from master.controller.carried import Carried
from master.controller.drains import Drains, begun, undone
from master.controller.publication import Publication
from master.controller.questions import Questions, Sessions
from master.controller.regions import Regions
from master.controller.reloading import Reloading
from master.controller.sds_stats import SdsStats
from master.controller.secrets_watch import SecretsWatch
from master.controller.standing import StandingOrders
from master.controller.tls_stats import TlsStats
from master.controller.warming import warm
from master.dns.refresh import Discovery
from master.dns.rows import Rows
from proxy.config.cluster import Endpoints
from shm import memfd
from shm.metrics import Metrics, MetricsWriter
from shm.processes import ProcessInfo, ProcessTable, Role, Word
from shm.processes import State as ProcessState
from shm.ring import RingReader
from shm.table import TableReader
from workers import committed, published
from workers.entry import SharedTables
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
        self.tls_stats = TlsStats(self.config)
        base, endpoints = published.read(self.config, inherited)
        self._publication = Publication(base, deltas=order.get("deltas", False))
        self.options: dict[str, Any] = json.loads(order["options"])
        self.generation: int = order["generation"]
        self.own_state: State = "INITIALIZING"
        self.restart_status: dict[str, Any] = {}
        self.reload_status: dict[str, Any] = {}
        self._standing = StandingOrders(order["orders"], self.options["log_level"], link.send)
        self._counters_base: dict[str, int] = {}
        self.listeners_stopped = 0
        self.listeners: list[tuple[str, list[str]]] = []
        self.hosts = TableReader(inherited["hosts"])
        self.clusters = TableReader(inherited["clusters"])
        self._processes = ProcessTable(inherited["processes"])
        supervisor = self._processes.read(0)
        self.started_at = time.time() - (time.monotonic_ns() - supervisor.started_ns) / 1e9
        self.configured_at = self.started_at
        self._stats = MetricsWriter(inherited["region"])
        self._regions = Regions(inherited["base"])
        self.rings: dict[int, RingReader] = {}  # the workers' flight recorders
        self._tables = SharedTables(inherited, self._slot)
        self._carried = Carried.of(inherited, self.config)
        self._carry(endpoints)
        self._rows = Rows(endpoints, host_rows=self.hosts.rows, cluster_rows=self.clusters.rows)
        self._discovery = Discovery(
            self.config, endpoints, self._stats, self.publish, rows=self._rows, hosts=self.hosts
        )
        self._reloading = Reloading(link, self._discovery, self._publication, self._make_room)
        self._secrets = SecretsWatch(lambda: self.config, self._ask_for_rotation, SdsStats(self._stats))
        self._requests: dict[int, trio.MemorySendChannel[str | None]] = {}
        self._next_request = 0
        self._retired = trio.Event()
        self._questions = Questions(link.send)
        self.generations: list[tuple[int, str, float]] = []

    # --- ServerView -----------------------------------------------------------------------------------------------

    @property
    def endpoints(self) -> Endpoints:
        """The hosts that the workers use, or are about to."""
        return self._discovery.endpoints

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
        await self._ask({"type": "workers", "count": count})

    async def hot_restart(self, *, ready_timeout: float | None, canary: float | None) -> None:
        """Returns when it has begun; `restart_status` tells how it goes on. Raises `RejectedError`."""
        await self._ask({"type": "restart", "ready_timeout": ready_timeout, "canary": canary})

    async def sessions(self, *, older: float, listener: str, limit: int, generation: int | None = None) -> Sessions:
        return await self._questions.sessions(older=older, listener=listener, limit=limit, generation=generation)

    async def reload(self, *, why: str, show: bool, version: int | None) -> None:
        """Returns when it has begun; `reload_status` tells how it goes on. Raises `RejectedError`."""
        await self._ask({"type": "reload", "why": why, "show": show, "config": version})

    async def _ask_for_rotation(self) -> None:
        await self._ask({"type": "reload", "why": "rotation", "show": False, "config": None, "rotate": True})

    async def _ask(self, question: dict[str, Any]) -> None:
        """Returns once the supervisor has said yes."""
        self._next_request += 1
        request = self._next_request
        send, receive = trio.open_memory_channel[str | None](1)
        self._requests[request] = send
        try:
            await self._link.send({**question, "request": request})
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
        self._standing.keep("drain", drains)
        await self._ask({"type": "order", "name": "drain", "value": drains})

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
        """Until the supervisor says stop, or is gone, or another generation's controller leads and nobody waits here.

        Only the controller that was told to lead answers the admin interface and folds the metrics of ended processes.
        """
        self._processes.write(self._slot, Word.STATE, ProcessState.STARTING)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(beat, self._processes, self._slot)
            nursery.start_soon(self._free_slots)
            nursery.start_soon(self._standing.revert_log_levels)
            nursery.start_soon(self._initialise, nursery)
            while (received := await self._link.receive()) is not None:
                if received.message["type"] == "stop":
                    break
                await self._on_message(received, nursery)
            nursery.cancel_scope.cancel()

    async def _lead(self, received: Received, nursery: trio.Nursery) -> None:
        self._carried = None
        self._take_over(received.named)
        self._standing.adopt(received.message["orders"])
        self._set_state(received.message)
        await self._fold_ended(received.named)
        await nursery.start(self._answer_admin, _admin_sockets(received.named), nursery)
        nursery.start_soon(self._secrets.run)
        self.tls_stats.warn()

    async def _answer_admin(
        self, sockets: list[socket.socket], nursery: trio.Nursery, *, task_status: trio.TaskStatus[None]
    ) -> None:
        """Until retired: then what is in hand is answered, and this process ends."""
        task_status.started()
        await admin.serve(self, sockets, self._stats, self._retired)
        nursery.cancel_scope.cancel()

    async def _retire(self) -> None:
        self._retired.set()
        self._processes.write(self._slot, Word.STATE, ProcessState.DRAINING)
        await self._link.send({"type": "retired"})

    async def _initialise(self, nursery: trio.Nursery) -> None:
        """Ready is who knows the hosts of every cluster: each name has had a first answer, be it a failure, and each
        host that is checked a first verdict.
        """
        await nursery.start(self._discovery.run)
        await warm(self.config, lambda: self.endpoints, self.hosts)
        self._processes.write(self._slot, Word.STATE, ProcessState.SERVING)
        await self._link.send({"type": "ready"})

    def _take_over(self, named: Mapping[str, int]) -> None:
        for name, fd in named.items():
            kind, _, number = name.partition("/")
            if kind == "region":
                self._regions.add(int(number), fd)
            elif kind == "ring":
                self._add_ring(int(number), fd)
            elif kind == "counters_base":
                self._counters_base = msgspec.msgpack.decode(memfd.read_all(fd))
                os.close(fd)

    def _add_ring(self, slot: int, fd: int) -> None:
        """A slot keeps its ring for ever; one that is known already came again with the slot's next region."""
        if slot in self.rings:
            os.close(fd)
        else:
            self.rings[slot] = RingReader(fd)

    async def _fold_ended(self, named: Mapping[str, int]) -> None:
        """What ended while nobody led."""
        for name, fd in named.items():
            kind, _, serial = name.partition("/")
            if kind == "ended":
                self._regions.fold(fd)
                os.close(fd)
                await self._link.send({"type": "folded", "serial": int(serial)})

    async def _on_message(self, received: Received, nursery: trio.Nursery) -> None:
        message = received.message
        kind = message["type"]
        if kind == "region":
            self._regions.add(message["slot"], received.fds[0])
            self._add_ring(message["slot"], received.fds[1])
            return
        if kind == "lead":
            await self._lead(received, nursery)
        elif kind == "retire":
            await self._retire()
        elif kind == "ended" and not self._retired.is_set():
            if self._regions.end(message["slot"], message["serial"]):
                await self._link.send({"type": "folded", "serial": message["serial"]})
        elif kind == "state":
            self._set_state(message)
        elif kind == "restart_status":
            self.restart_status = message["status"]
        elif kind == "reload_status":
            self.reload_status = json.loads(memfd.read_all(received.fds[0]))
            self._secrets.on_status(self.reload_status)
        elif kind == "place":
            nursery.start_soon(self._reloading.place, message["version"], received.fds.pop())
        elif kind == "commit":
            self._commit(message["version"], nursery)
        elif kind == "abort":
            self._reloading.abort(message["version"])
        elif kind == "reopen_logs":
            reopen_logs(received)
        elif kind in ("asked", "sessions"):
            self._questions.on_message(message)
        elif kind == "answer":
            waiting = self._requests.get(message["request"])
            if waiting is not None:
                waiting.send_nowait(message["refusal"])
        close_all(received.fds)

    def _set_state(self, message: Mapping[str, Any]) -> None:
        self.own_state = cast(State, message["state"])
        self.listeners = [(name, addresses) for name, addresses in message["listeners"]]
        self.listeners_stopped = message["stopped"]
        self.generations = [(number, state, ends_at) for number, state, ends_at in message.get("generations", ())]
        self.restart_status = message["restart"]

    def _commit(self, version: int, nursery: trio.Nursery) -> None:
        """The configuration changes. Who does not know it ends: a successor begins with it."""
        config = self._reloading.commit(version)
        if config is None:
            log.warning("configuration %d is not known here; starting again", version)
            nursery.cancel_scope.cancel()
            return
        if not self.reload_status.get("rotation"):
            self.configured_at = time.time()
        self.config, self.tls_stats = config, TlsStats(config)
        self.tls_stats.warn()
        self._secrets.on_commit()
        names = {listener.name for listener in config.listeners}
        self._standing.keep("drain", {name: drain for name, drain in self.drains.items() if name in names})

    def _carry(self, endpoints: Endpoints) -> None:
        """What the generation before knows of these hosts, for as long as it serves."""
        if self._carried is not None:
            self._carried.give(endpoints, self._tables.hosts, self._tables.clusters)

    def _make_room(self) -> None:
        """In the shared tables, before anybody hears of new rows."""
        self._rows.make_room(self._inherited["hosts"], self._inherited["clusters"])

    # --- publishing hosts -----------------------------------------------------------------------------------------

    async def publish(self, endpoints: Endpoints) -> None:
        """Hand `endpoints` to the supervisor, which keeps them for new workers and tells the living.

        Returns once every worker has applied them, or after `APPLY_DEADLINE`: the supervisor replaces who hangs.
        """
        self._make_room()
        self._carry(endpoints)
        kind, data = self._publication.next(endpoints)
        fd = memfd.sealed("trireme-endpoints", data)
        try:
            await self._link.send({"type": kind}, [fd])
        finally:
            os.close(fd)
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
            drained = min((p.endpoints_drained for p in self._own_workers()), default=freed)
            if drained > freed:
                self._rows.acknowledged(drained)
                freed = drained

    def _applied(self, version: int) -> bool:
        return all(p.endpoints_version >= version for p in self._own_workers())

    def _own_workers(self) -> list[ProcessInfo]:
        """The workers that use this controller's hosts."""
        return [p for p in self._processes.live() if p.role == Role.WORKER and p.generation == self.generation]


def _admin_sockets(named: Mapping[str, int]) -> list[socket.socket]:
    return [socket.socket(fileno=fd) for name, fd in named.items() if name.startswith("admin/")]
