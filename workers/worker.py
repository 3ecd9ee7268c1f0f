"""One worker: serves connections with `proxy.server`, obeys the supervisor, shows signs of life, drains, ends."""

from __future__ import annotations

import json
import logging
import socket
import time
from typing import Any

import trio

from proxy import log as process_log
from proxy.config.cluster import Endpoints, decode_endpoints
from proxy.config.endpoints_delta import decode_delta
from proxy.server import Server
from shm import memfd
from shm.processes import ProcessTable, State, Word
from workers import garbage
from workers.accepting import Acceptors
from workers.handing_over import hand_over
from workers.heartbeat import Load, beat
from workers.holders import answer, held, log_holders
from workers.link import Received, SupervisorLink, close_all, reopen_logs
from workers.reloading import Reloading

log = logging.getLogger("worker")

ORPHAN_DRAIN = 5.0  # seconds that requests in hand get once the supervisor is gone
CLOSE_DEADLINE = 1.0  # seconds for the last bytes of finished responses (Envoy's delayed_close_timeout)
DEPARTURE_POLL = 1.0  # seconds between looks at requests to hosts that have left
DRAIN_POLL = 0.02  # seconds between looks at what is left


class Worker:
    """Ties `Server`, `Acceptors` and the channel together. `run` returns when the worker has drained."""

    def __init__(
        self,
        server: Server,
        link: SupervisorLink,
        processes: ProcessTable,
        *,
        index: int,
        slot: int,
        generation: int,
        endpoints_version: int,
        config_version: int,
        orders: dict[str, Any],
    ) -> None:
        self._server = server
        self._link = link
        self._processes = processes
        self._index = index
        self._slot = slot
        self._generation = generation
        self._endpoints_version = endpoints_version
        self._config_version = config_version
        self._reloading = Reloading(server, link, self._applied)
        self._draining = False
        self._drain_scope = trio.CancelScope()
        self._orders = dict(orders)
        for name, value in orders.items():
            self._obey(name, value)

    async def run(self, inherited: dict[str, int]) -> None:
        """Serve until told to drain or stop, or until the supervisor is gone."""
        self._set_state(State.STARTING)
        self._processes.write(self._slot, Word.ENDPOINTS_VERSION, self._endpoints_version)
        self._processes.write(self._slot, Word.CONFIG_VERSION, self._config_version)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat)
            nursery.start_soon(self._watch_departures)
            nursery.start_soon(garbage.collect, lambda: self._server.requests_active)
            await nursery.start(self._server.run)
            acceptors = Acceptors(
                self._server, self._processes, index=self._index, generation=self._generation, nursery=nursery
            )
            acceptors.add(inherited)
            nursery.start_soon(self._tell_ready)
            while (received := await self._link.receive()) is not None:
                if received.message["type"] == "commit":
                    await self._reloading.commit(received.message)  # what comes after it is about the new listeners
                self._on_message(received, acceptors, nursery)
                close_all(received.fds)
            log.warning("the supervisor is gone; ending after the requests in hand (%.0f s at most)", ORPHAN_DRAIN)
            acceptors.close()
            await self._drain(ORPHAN_DRAIN, idle=0.0)
            nursery.cancel_scope.cancel()

    async def _tell_ready(self) -> None:
        """Who begins to serve knows which hosts are well."""
        await self._server.warm()
        await self._link.send({"type": "ready"})

    def _on_message(self, received: Received, acceptors: Acceptors, nursery: trio.Nursery) -> None:
        message = received.message
        kind = message["type"]
        if kind == "topology" and not self._draining:
            first = self._processes.read(self._slot).state != State.SERVING
            self._set_state(State.SERVING)
            self._server.follow_hosts()
            acceptors.set_topology(count=message["count"], listening=message["listening"], among=message.get("among"))
            if first:
                nursery.start_soon(acceptors.watch, lambda: not self._draining)
        elif kind == "order":
            self._orders[message["name"]] = message["value"]
            self._obey(message["name"], message["value"])
        elif kind == "sockets":
            if received.fds:  # of a reload
                acceptors.rename(json.loads(memfd.read_all(received.fds[0])))
            acceptors.add(received.named)
            acceptors.update()
        elif kind == "prepare":
            self._reloading.prepare(message["version"], received.fds, nursery)
        elif kind == "abort":
            self._reloading.abort()
        elif kind == "connections":
            clients = [socket.socket(fileno=fd) for fd in received.fds]
            received.fds.clear()
            nursery.start_soon(self._adopt, message["listener"], clients, message.get("packet"))
        elif kind == "endpoints":
            self._apply(decode_endpoints(memfd.read_all(received.fds[0])))
        elif kind == "endpoints_delta":
            delta = decode_delta(memfd.read_all(received.fds[0]))
            self._server.change_endpoints(delta)
            self._note_endpoints(delta.version)
        elif kind == "drain":
            self._draining = True
            self._set_state(State.DRAINING)
            acceptors.stop()
            self._drain_scope.cancel()  # a later order, to stop soon, replaces the one to leave in time
            nursery.start_soon(self._drain_and_end, message, acceptors, nursery)
        elif kind == "stop":
            nursery.cancel_scope.cancel()
        elif kind == "sessions":
            nursery.start_soon(self._link.send, answer(self._server, message))
        elif kind == "reopen_logs":
            reopen_logs(received)
            self._server.reopen_logs()

    def _applied(self, endpoints: Endpoints, version: int) -> None:
        """A reload has changed over."""
        self._note_endpoints(endpoints.version)
        self._config_version = version
        self._processes.write(self._slot, Word.CONFIG_VERSION, version)
        for name, value in self._orders.items():
            self._obey(name, value)
        self._link.give({"type": "committed", "version": version}, [])

    def _obey(self, name: str, value: Any) -> None:
        """A standing order: the supervisor repeats it to every worker that starts (`Supervisor.orders`)."""
        if name == "health_check_failed":
            self._server.fail_health_check(value)
        elif name == "log":
            process_log.set_levels(value["levels"])
        elif name == "drain":
            now = time.monotonic()
            self._server.drain_listeners(
                {
                    listener: {
                        "elapsed": now - drain["began"],
                        "seconds": drain["seconds"],
                        "immediate": drain["immediate"],
                    }
                    for listener, drain in value.items()
                }
            )

    async def _watch_departures(self) -> None:
        """Tell when no request writes to the rows of hosts that have left, so that the rows may be reused."""
        drained = -1
        while True:
            if self._endpoints_version != drained and not self._server.hosts_draining:
                drained = self._endpoints_version
                self._processes.write(self._slot, Word.ENDPOINTS_DRAINED, drained)
            await trio.sleep(DEPARTURE_POLL)

    def _apply(self, endpoints: Endpoints) -> None:
        self._server.update_endpoints(endpoints)
        self._note_endpoints(endpoints.version)

    def _note_endpoints(self, version: int) -> None:
        self._endpoints_version = version
        self._processes.write(self._slot, Word.ENDPOINTS_VERSION, version)

    async def _adopt(self, listener: str, clients: list[socket.socket], packet: int | None) -> None:
        """Says that these connections have arrived before anything is read from one: until then they can be another's.
        An older supervisor does not ask (`packet`).
        """
        if packet is not None:
            await self._link.send({"type": "adopted", "packet": packet})
        for client in clients:
            self._server.adopt(listener, client)

    async def _drain_and_end(self, order: dict[str, Any], acceptors: Acceptors, nursery: trio.Nursery) -> None:
        with trio.CancelScope() as self._drain_scope:
            async with trio.open_nursery() as tasks:
                tasks.start_soon(hand_over, self._server, self._link, order.get("hand_over", ()))
                tasks.start_soon(log_holders, self._server, order["deadline"])
                if order["sweep"]:
                    acceptors.sweep()
                await acceptors.empty(order["ending"])
                await self._drain(order["deadline"], idle=order["idle"])
                tasks.cancel_scope.cancel()
            nursery.cancel_scope.cancel()

    async def _drain(self, deadline: float, *, idle: float) -> None:
        """Finish what was begun, within `deadline` seconds. Connections end with their next response; those that still
        wait for a request after `idle` seconds are closed.
        """
        server = self._server
        server.start_drain()
        with trio.move_on_after(deadline) as scope:
            with trio.move_on_after(idle):
                await server.drained()
                return
            while server.busy:
                server.close_idle()
                await trio.sleep(DRAIN_POLL)
            server.close_idle()
            with trio.move_on_after(CLOSE_DEADLINE):
                await server.drained()
        if scope.cancelled_caught and server.connections:
            log.warning("the drain is over after %g s: closing %s", deadline, held(server))

    async def _beat(self) -> None:
        server = self._server
        await beat(
            self._processes,
            self._slot,
            lambda: Load(server.connections, server.requests_active, server.requests, server.requests_failed),
        )

    def _set_state(self, state: State) -> None:
        self._processes.write(self._slot, Word.STATE, state)
