"""What one worker runs: the listeners' filter chains over accepted sockets. Knows nothing of processes."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypedDict

import msgspec
import trio

from proxy import registry
from proxy.access_log.writer import LogWriter
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Endpoints
from proxy.config.common import PluginConfig
from proxy.config.listener import Listener as ListenerConfig
from proxy.errors import ProxyError
from proxy.filters.context import Activity, CallNextNetwork, FilterContext, Keeper, NetworkFilter, Resume
from proxy.filters.network import NETWORK_FILTERS
from proxy.flight_recorder import Recorder
from proxy.http.disconnects import DisconnectWatch
from proxy.limits import LOG_CLOSE_DEADLINE
from proxy.net.connection import Connection
from proxy.net.drain import ListenerDrain
from proxy.net.listener import accept_loop, accept_waiting
from proxy.net.pipe import PipePool
from proxy.sessions import Question, Session, describe
from proxy.stats import Stats
from proxy.upstream.manager import ClusterManager
from proxy.upstream.tables import Tables

log = logging.getLogger("proxy.server")

MAX_WORKERS = 1024
"""Connection numbers count in such steps, so that no two of this many workers use the same one."""


class ListenerDraining(TypedDict):
    """A drain of one listener: `elapsed` seconds of `seconds` are over (`proxy.net.drain`)."""

    elapsed: float
    seconds: float
    immediate: bool


class Server:
    """Built from one configuration. `run` must be running for `accept` to be used.

    `accept` and the connections live apart: cancelling the former leaves the latter alone, which is why the nursery of
    connections is kept here instead of in the function that accepted them.
    """

    def __init__(
        self,
        config: CompiledConfig,
        endpoints: Endpoints,
        stats: Stats,
        tables: Tables,
        *,
        worker_index: int,
        recorder: Recorder | None = None,
    ) -> None:
        self._clusters = ClusterManager(config, endpoints, stats, tables)
        self._activity = Activity()
        self._disconnects = DisconnectWatch()
        self._log_writer = LogWriter(stats)
        self._pipes = PipePool()
        context = FilterContext(
            stats,
            self._clusters,
            "",
            self._activity,
            disconnects=self._disconnects,
            pipes=self._pipes,
            log_writer=self._log_writer,
        )
        self._express = context.express
        self._shadows = context.shadows
        if recorder is not None:
            context = dataclasses.replace(context, recorder=recorder)
        self._listeners = {
            listener.name: _Listener(listener, context, worker_index=worker_index) for listener in config.listeners
        }
        self._accepting = 0
        self._connections: dict[Connection, _Listener] = {}
        self._connection_ids = itertools.count(worker_index + 1, MAX_WORKERS)
        self._nursery: trio.Nursery | None = None
        self._drained = trio.Event()

    @property
    def connections(self) -> int:
        """Downstream connections that are open."""
        return self._activity.connections

    @property
    def requests_active(self) -> int:
        """Requests whose response is not complete."""
        return self._activity.requests

    @property
    def requests(self) -> int:
        """How many requests and proxied TCP connections have ended."""
        return self._activity.ended

    @property
    def requests_failed(self) -> int:
        """How many of them failed by our own doing."""
        return self._activity.failed

    @property
    def busy(self) -> bool:
        """Whether requests are in hand, or may still be accepted."""
        return bool(self._activity.requests or self._accepting)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, or until a drain has ended the last connection."""
        self._log_writer.start()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._clusters.run)
                nursery.start_soon(self._disconnects.run)
                nursery.start_soon(self._express.run)
                nursery.start_soon(self._shadows.run)
                self._nursery = nursery
                task_status.started()
                try:
                    await self._drained.wait()
                finally:
                    nursery.cancel_scope.cancel()
                    for connection in list(self._connections):
                        connection.end()  # those that have no task to be cancelled
        finally:
            self._nursery = None
            self._clusters.close()
            self._log_writer.close(LOG_CLOSE_DEADLINE)
            self._pipes.close()

    async def accept(
        self,
        listener: str,
        address: int,
        sock: socket.socket,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve what arrives at `sock`, a non-blocking listening socket of the listener's address number `address`,
        until cancelled, by which no accepted connection is lost, or until the socket has been shut down.
        """
        self._accepting += 1
        task_status.started()
        try:
            await accept_loop(sock, self._starter(listener))
        finally:
            self._accepting -= 1
            self._check_drained()

    def accept_waiting(self, listener: str, sock: socket.socket) -> None:
        """Serve what waits at `sock` now."""
        accept_waiting(sock, self._starter(listener))

    def _starter(self, listener: str) -> Callable[[socket.socket], None]:
        target = self._listeners[listener]

        def start(client: socket.socket) -> None:
            if self._nursery is None:
                client.close()  # the server has ended between two connections
                return
            connection = Connection(client, buffer_limit=target.buffer_limit, id=next(self._connection_ids))
            self._activity.connections += 1
            self._connections[connection] = target
            target.opened()
            if not target.begin(connection, self):
                self.start_task(connection, target.serve)

        return start

    def update_endpoints(self, endpoints: Endpoints) -> None:
        """Use these hosts from the next request on."""
        self._clusters.update_endpoints(endpoints)

    @property
    def hosts_draining(self) -> bool:
        """Whether a request still runs to a host that the endpoints no longer name."""
        return self._clusters.draining

    def reopen_logs(self) -> None:
        """Open the access logs' files anew: they have been moved away (USR1, `/reopen_logs`)."""
        self._log_writer.reopen()

    def fail_health_check(self, failed: bool) -> None:
        """While `failed`, each connection ends with its next response, so that clients go elsewhere."""
        self._activity.health_check_failed = failed
        for listener in self._listeners.values():
            listener.drain.fail_health_check(failed)

    def drain_listeners(self, drains: Mapping[str, ListenerDraining]) -> None:
        """Exactly the listeners of these names drain from now on; one that did before and is not named any more goes on
        as if nothing had been.
        """
        for name, listener in self._listeners.items():
            if self._activity.draining:
                continue
            if name in drains:
                listener.drain.begin(**drains[name])
            else:
                listener.drain.end()

    def start_drain(self) -> None:
        """From now on each connection ends with its next response, and `run` with the last connection, once nothing is
        accepted any more.
        """
        self._activity.draining = True
        for listener in self._listeners.values():
            listener.drain.begin(immediate=True)
        self._check_drained()

    async def drained(self) -> None:
        """Until a drain has ended the last connection."""
        await self._drained.wait()

    def close_idle(self) -> None:
        """Close the connections that wait for a request; one that has just come is still served."""
        for connection in list(self._connections):
            if connection.idle and not connection.has_input():
                connection.end()

    def idle_connections(self, listener: str, limit: int) -> list[Connection]:
        """At most `limit` connections of `listener` that wait for a request of which nothing has been read."""
        target = self._listeners.get(listener)
        idle = (connection for connection, its in self._connections.items() if its is target and connection.idle)
        return list(itertools.islice(idle, limit))

    def sessions(self, question: Question) -> tuple[int, list[Session]]:
        """How many connections the question is about, and the oldest of them. Costs nothing until it is asked."""
        now = trio.current_time()
        found: list[Session] = []
        total = 0
        for connection, target in self._connections.items():  # in the order in which they came
            if question.listener and target.name != question.listener:
                continue
            if now - connection.opened_at < question.older:
                break
            total += 1
            if len(found) < question.limit:
                found.append(describe(connection, target.name, self._activity.streams.get(connection), now))
        return total, found

    def adopt(self, listener: str, client: socket.socket) -> None:
        """Go on with an idle connection that another process had: as if it had been accepted here. Takes `client`."""
        if listener not in self._listeners or client.type != socket.SOCK_STREAM:
            log.warning("listener %s does not exist: a connection that was handed over ends", listener)
            client.close()
            return
        client.setblocking(False)
        self._starter(listener)(client)

    def start_task(self, connection: Connection, run: Callable[[Connection], Awaitable[Resume | None]]) -> None:
        """Implements `Keeper`."""
        assert self._nursery is not None
        connection.scope = scope = trio.CancelScope()  # `Connection.end` must find it before the task has begun, too
        self._nursery.start_soon(self._serve, connection, scope, run)

    def ended(self, connection: Connection) -> None:
        """Implements `Keeper`."""
        connection.close()
        listener = self._connections.pop(connection)
        self._activity.connections -= 1
        listener.closed(trio.current_time() - connection.opened_at)
        self._check_drained()

    async def _serve(
        self, connection: Connection, scope: trio.CancelScope, run: Callable[[Connection], Awaitable[Resume | None]]
    ) -> None:
        resume = None
        try:
            with scope:
                resume = await run(connection)
        except ProxyError as error:
            log.debug("connection ended: %s", error.detail)
        except Exception:
            log.exception("a network filter failed")
        finally:
            connection.scope = None
            if resume is None:
                self.ended(connection)
        if resume is not None:
            resume()

    def _check_drained(self) -> None:
        if self._activity.draining and not self._activity.connections and not self._accepting:
            self._drained.set()


class _Listener:
    """One listener's network filters and stats."""

    def __init__(
        self,
        config: ListenerConfig,
        context: FilterContext,
        *,
        worker_index: int,
    ) -> None:
        stats, prefix = context.stats, f"listener.{config.stat_prefix}."
        self.name = config.name
        self._totals = [
            stats.counter(f"{prefix}downstream_cx_total"),
            stats.counter(f"{prefix}worker_{worker_index}.downstream_cx_total"),
        ]
        self._active = [
            stats.gauge(f"{prefix}downstream_cx_active"),
            stats.gauge(f"{prefix}worker_{worker_index}.downstream_cx_active"),
        ]
        self._destroy = stats.counter(f"{prefix}downstream_cx_destroy")
        self._length_ms = stats.histogram(f"{prefix}downstream_cx_length_ms")
        self.drain = ListenerDrain(modify_only=config.drain_type == "MODIFY_ONLY")
        self.buffer_limit = buffer_limit = config.per_connection_buffer_limit_bytes
        context = dataclasses.replace(context, listener_prefix=prefix, drain=self.drain, buffer_limit=buffer_limit)
        filters = [_build(plugin, context) for plugin in config.filter_chains[0].filters]
        self._chain = _chain(filters)
        self._begin = getattr(filters[0], "begin", None) if len(filters) == 1 else None

    def begin(self, connection: Connection, keeper: Keeper) -> bool:
        """Serve it without a task, if its only filter can do that."""
        return self._begin is not None and self._begin(connection, keeper)

    async def serve(self, connection: Connection) -> None:
        """Serve it in a task, to its end."""
        await self._chain(connection)

    def opened(self) -> None:
        for counter in self._totals:
            counter.inc()
        for gauge in self._active:
            gauge.add(1)

    def closed(self, seconds: float) -> None:
        for gauge in self._active:
            gauge.add(-1)
        self._destroy.inc()
        self._length_ms.record(round(seconds * 1000))


def _build(plugin: PluginConfig, context: FilterContext) -> Any:
    filter_class = registry.load(NETWORK_FILTERS, plugin.type_url)
    return filter_class(plugin.name, msgspec.msgpack.decode(plugin.config, type=filter_class.Config), context)


def _chain(filters: list[NetworkFilter]) -> CallNextNetwork:
    async def end(connection: Connection) -> None:
        """Past the last filter there is nothing to do: the connection closes."""

    chain: CallNextNetwork = end
    for network_filter in reversed(filters):
        chain = _link(network_filter, chain)
    return chain


def _link(network_filter: NetworkFilter, call_next: CallNextNetwork) -> CallNextNetwork:
    async def call(connection: Connection) -> None:
        await network_filter(connection, call_next)

    return call
