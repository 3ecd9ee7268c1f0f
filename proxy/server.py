"""What one worker runs: the listeners' filter chains over accepted sockets. Knows nothing of processes."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypedDict

import trio

from proxy.access_log.grpc_streams import GrpcLogStreams
from proxy.access_log.output import file_output
from proxy.access_log.sinks import Sinks
from proxy.access_log.writer import LogWriter
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Endpoints
from proxy.config.endpoints_delta import EndpointsDelta
from proxy.errors import ProxyError
from proxy.filters.context import Activity, FilterContext, Resume
from proxy.filters.header_edits import compile_request_edits
from proxy.flight_recorder import Recorder
from proxy.http.disconnects import DisconnectWatch
from proxy.limits import LOG_CLOSE_DEADLINE
from proxy.net.connection import Connection
from proxy.net.listener import accept_loop, accept_waiting
from proxy.net.pipe import PipePool
from proxy.sessions import Question, Session, describe
from proxy.snapshot import Listener, Snapshot, SnapshotBuilder
from proxy.stats import Stats
from proxy.upstream.health.service import Tools
from proxy.upstream.manager import ClusterManager, ClusterView
from proxy.upstream.owners import Owners
from proxy.upstream.tables import Tables

log = logging.getLogger("proxy.server")

MAX_WORKERS = 1024
"""Connection numbers count in such steps, so that no two of this many workers use the same one."""

QUEUE_TIME = 20.0  # seconds in which whoever waits in a removed listener's queue has been accepted
DRAIN_LOOK = 1.0  # seconds between looks at what is left of a retired listener


class ListenerDraining(TypedDict):
    """A drain of one listener: `elapsed` seconds of `seconds` are over (`proxy.net.drain`)."""

    elapsed: float
    seconds: float
    immediate: bool


class Server:
    """Serves one snapshot after the other. `run` must be running for `accept` and `commit` to be used.

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
        owners: Owners | None = None,
    ) -> None:
        self._connection_ids = itertools.count(worker_index + 1, MAX_WORKERS)
        self._log_writer = LogWriter(stats)
        tools = Tools(compile_request_edits, self._event_log)
        self._clusters = ClusterManager(stats, tables, self._connection_ids, owners, tools)
        self._activity = Activity()
        self._disconnects = DisconnectWatch()
        self._log_streams = GrpcLogStreams(self._clusters, stats)
        self._pipes = PipePool()
        context = FilterContext(
            stats,
            ClusterView({}),
            "",
            self._activity,
            disconnects=self._disconnects,
            pipes=self._pipes,
            log_sinks=Sinks(self._log_writer, self._log_streams),
        )
        self._express = context.express
        self._shadows = context.shadows
        self._periodic = context.periodic
        if recorder is not None:
            context = dataclasses.replace(context, recorder=recorder)
        self._builder = SnapshotBuilder(self._clusters, context, worker_index=worker_index)
        self._snapshot = self._builder.build(config, endpoints)
        self._clusters.commit(self._snapshot.clusters, endpoints)
        self._retired: set[Listener] = set()  # of earlier snapshots: their connections drain
        self._removed: dict[str, Listener] = {}  # those whose name is gone: their queues are being emptied
        self._accepting = 0
        self._connections: dict[Connection, Listener] = {}
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
                nursery.start_soon(self._periodic.run)
                nursery.start_soon(self._log_streams.run)
                self._nursery = nursery
                task_status.started()
                try:
                    await self._drained.wait()
                    await self._log_streams.finish(LOG_CLOSE_DEADLINE)
                finally:
                    nursery.cancel_scope.cancel()
                    for connection in list(self._connections):
                        connection.end()  # those that have no task to be cancelled
        finally:
            self._nursery = None
            self._clusters.close()
            self._log_writer.close(LOG_CLOSE_DEADLINE)
            self._pipes.close()

    def follow_hosts(self) -> None:
        """Balance by all that is known of hosts now."""
        self._clusters.follow_status()

    async def warm(self) -> None:
        """Until something is known of all hosts that have health checks, or their first check is overdue."""
        await self._clusters.health_checks.warm()

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
        def start(client: socket.socket) -> None:
            target = self._snapshot.listeners.get(listener) or self._removed.get(listener)
            if self._nursery is None or target is None:
                client.close()  # the server, or the listener's drain, has ended between two connections
                return
            connection = Connection(client, buffer_limit=target.buffer_limit, id=next(self._connection_ids))
            self._activity.connections += 1
            self._connections[connection] = target
            target.opened()
            target.begin(connection, self)

        return start

    async def prepare(self, config: CompiledConfig, endpoints: Endpoints) -> Snapshot:
        """What `commit` takes, or `forget`. Nothing has changed yet, and whatever cannot be built raises here. New
        hosts that have health checks have been asked once.
        """
        snapshot = await self._builder.follow(self._snapshot, config, endpoints)
        await self._clusters.health_checks.prepare(snapshot.clusters.values())
        return snapshot

    def forget(self) -> None:
        """What was prepared will not be served."""
        self._clusters.health_checks.follow(self._clusters.now.values())

    def commit(self, snapshot: Snapshot, drain: ListenerDraining) -> None:
        """Serve `snapshot`, which was prepared for the present one. Connections of listeners that are replaced or
        removed get `drain`, and end with it.
        """
        before, self._snapshot = self._snapshot, snapshot
        for renewal in snapshot.renewals:
            renewal()
        changed = self._clusters.commit(snapshot.clusters, snapshot.endpoints)
        for listener in snapshot.listeners.values():
            listener.use(snapshot.clusters, changed=changed)
            listener.drain.fail_health_check(self._activity.health_check_failed)
            if self._activity.draining:
                listener.drain.begin(immediate=True)
        kept = set(snapshot.listeners.values())
        for name, listener in before.listeners.items():
            if listener not in kept:
                self._retire(name, listener, drain)

    def _retire(self, name: str, listener: Listener, drain: ListenerDraining) -> None:
        self._retired.add(listener)
        if name not in self._snapshot.listeners:
            self._removed[name] = listener
        if not self._activity.draining:
            listener.drain.begin(**drain)
        if self._nursery is not None:
            self._nursery.start_soon(self._end_drain, name, listener, drain["seconds"] - drain["elapsed"])

    async def _end_drain(self, name: str, listener: Listener, seconds: float) -> None:
        """Until the last connection of a retired listener has ended, or has to."""
        end = trio.current_time() + seconds
        emptied = min(end, trio.current_time() + QUEUE_TIME) if self._removed.get(name) is listener else 0.0
        while (now := trio.current_time()) < end and (listener.connections or now < emptied):  # noqa: ASYNC110
            await trio.sleep(min(DRAIN_LOOK, end - now))  # one coarse look; a retired listener is in no hurry
        if self._removed.get(name) is listener:
            del self._removed[name]
        for connection in [each for each, its in self._connections.items() if its is listener]:
            connection.end()
        while listener.connections:  # noqa: ASYNC110 - what they still send has deadlines of its own
            await trio.sleep(DRAIN_LOOK)
        self._retired.discard(listener)
        listener.on_retired()

    def _all_listeners(self) -> Iterable[Listener]:
        """Those of the snapshot, and those whose connections drain."""
        return [*self._snapshot.listeners.values(), *self._retired]

    def update_endpoints(self, endpoints: Endpoints) -> None:
        """Use these hosts from the next request on."""
        self._clusters.update_endpoints(endpoints)

    def change_endpoints(self, delta: EndpointsDelta) -> None:
        """The same for the clusters of `delta`; the others are not looked at."""
        self._clusters.change_endpoints(delta)

    @property
    def hosts_draining(self) -> bool:
        """Whether a request still runs to a host that the endpoints no longer name."""
        return self._clusters.draining

    def _event_log(self, path: str) -> Callable[[bytes], None]:
        """What takes lines for the file at `path`."""
        return self._log_writer.queue(file_output(path)).write

    def reopen_logs(self) -> None:
        """Open the access logs' files anew: they have been moved away (USR1, `/reopen_logs`)."""
        self._log_writer.reopen()

    def fail_health_check(self, failed: bool) -> None:
        """While `failed`, each connection ends with its next response, so that clients go elsewhere."""
        self._activity.health_check_failed = failed
        for listener in self._all_listeners():
            listener.drain.fail_health_check(failed)

    def drain_listeners(self, drains: Mapping[str, ListenerDraining]) -> None:
        """Exactly the listeners of these names drain from now on; one that did before and is not named any more goes on
        as if nothing had been.
        """
        for name, listener in self._snapshot.listeners.items():
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
        for listener in self._all_listeners():
            listener.drain.begin(immediate=True)
        self._check_drained()

    async def drained(self) -> None:
        """Until a drain has ended the last connection."""
        await self._drained.wait()
        await self._log_streams.finish(LOG_CLOSE_DEADLINE)

    def close_idle(self) -> None:
        """Close the connections that wait for a request; one that has just come is still served."""
        for connection in list(self._connections):
            if connection.idle and not connection.has_input():
                connection.end()

    def idle_connections(self, listener: str, limit: int) -> list[Connection]:
        """At most `limit` connections of `listener` that wait for a request of which nothing has been read, and that
        another process could go on with: what TLS has agreed on stays in this one.
        """
        target = self._snapshot.listeners.get(listener)
        idle = (
            each
            for each, its in self._connections.items()
            if its is target and each.idle and each.tls is None and not each.stateful
        )
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
        if listener not in self._snapshot.listeners or client.type != socket.SOCK_STREAM:
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
        """Implements `Keeper`. Whatever fails here is not to end the worker, nor to spoil its books."""
        listener = self._connections.pop(connection)
        for finish in (connection.close, functools.partial(listener.log, connection)):
            try:
                finish()
            except Exception:
                log.exception("listener %s: the end of a connection failed", listener.name)
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
            if scope.cancel_called:  # its last exchange came to an end all the same
                connection.end()

    def _check_drained(self) -> None:
        if self._activity.draining and not self._activity.connections and not self._accepting:
            self._drained.set()
