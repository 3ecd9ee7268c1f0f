"""What one worker serves at a time: the listeners and clusters of one configuration. Immutable; a reload makes another.

Whatever a configuration does not change is the same object in both: connections, pools and counts know no snapshots.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Mapping, Sequence

import trio

from proxy.access_log.access_log import build_access_logs
from proxy.changes import listener_change
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Endpoints
from proxy.config.listener import Listener as ListenerConfig
from proxy.errors import Flag, ProxyError
from proxy.filter_chain import FilterChain
from proxy.filters.context import FilterContext, Keeper, Resume
from proxy.filters.turned_away import TurnedAway
from proxy.http.stream_info import StreamInfo
from proxy.net.chooser import Chooser
from proxy.net.connection import Connection
from proxy.net.drain import ListenerDrain
from proxy.upstream.cluster import Cluster
from proxy.upstream.manager import ClusterManager, ClusterView


class Listener:
    """One listener's network filters and stats. `clusters` is what its filters look names up in."""

    def __init__(
        self,
        config: ListenerConfig,
        clusters: Mapping[str, Cluster],
        context: FilterContext,
        *,
        worker_index: int,
    ) -> None:
        stats, prefix = context.stats, f"listener.{config.stat_prefix}."
        self.config = config
        self.name = config.name
        self.clusters = ClusterView(clusters)
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
        context = dataclasses.replace(
            context,
            clusters=self.clusters,
            listener_prefix=prefix,
            drain=self.drain,
            buffer_limit=config.per_connection_buffer_limit_bytes,
        )
        self.buffer_limit = config.per_connection_buffer_limit_bytes
        self._access_logs = build_access_logs(config.access_log, context.log_sinks)
        self.connections = 0
        self._chains = [FilterChain(chain, context) for chain in config.filter_chains]
        self._default = (
            None if config.default_filter_chain is None else FilterChain(config.default_filter_chain, context)
        )
        if not self._all_chains():
            raise ValueError(f"listener {config.name!r} has no filter chain")
        self._chooser = Chooser(config, context.stats, prefix)
        self._turned_away = TurnedAway(context)

    def _all_chains(self) -> list[FilterChain]:
        return [*self._chains, *([self._default] if self._default is not None else [])]

    def begin(self, connection: Connection, keeper: Keeper) -> None:
        """Serve it with the filter chain that it matches; without a task where that is possible."""
        if self._access_logs:
            connection.info = StreamInfo(connection.opened_at, connection)
            connection.know_peer()
        if self._chooser.unconditional:
            self._chains[0].start(connection, keeper)
        else:
            keeper.start_task(connection, lambda connection: self._choose(connection, keeper))

    async def _choose(self, connection: Connection, keeper: Keeper) -> Resume | None:
        """None if no chain wants it: it is closed."""
        try:
            index = await self._chooser.choose(connection)
        except ProxyError as error:
            self._turned_away.by_inspection(connection, error, self.config)
            raise
        chain = self._default if index is None else self._chains[index]
        if chain is None:
            self._chooser.charge_unmatched()
            self._turned_away.by_matching(connection)
            if connection.info is not None:
                connection.info.flags.add(Flag.NO_ROUTE_FOUND)
                connection.info.detail = "filter_chain_not_found"
            return None
        return lambda: chain.start(connection, keeper)

    def opened(self) -> None:
        self.connections += 1
        for counter in self._totals:
            counter.inc()
        for gauge in self._active:
            gauge.add(1)

    def log(self, connection: Connection) -> None:
        """`connection` has ended: the listener's access log, if it has one, gets its entry."""
        info = connection.info
        if info is None:
            return
        now = trio.current_time()
        info.ended, info.connection_ended = now, info.connection_ended or now
        info.bytes_received, info.bytes_sent = connection.bytes_received, connection.bytes_sent
        if info.is_http:  # which bytes are whose, its exchanges know
            info.received_before, info.sent_before = info.bytes_received, info.bytes_sent
        info.log_type = b"NotSet"
        for access_log in self._access_logs:
            access_log.log(info)
        connection.info = None

    def closed(self, seconds: float) -> None:
        self.connections -= 1
        for gauge in self._active:
            gauge.add(-1)
        self._destroy.inc()
        self._length_ms.record(round(seconds * 1000))

    def renew(self, config: ListenerConfig) -> Callable[[], None]:
        """Get ready for a `config` that changes this one in place; what is returned puts it into effect."""
        chains = zip(self._all_chains(), self.config.all_chains, config.all_chains, strict=True)
        commits = [chain.renew(now) for chain, before, now in chains if before != now]

        def commit() -> None:
            self.config = config
            for commit_chain in commits:
                commit_chain()

        return commit

    def use(self, clusters: Mapping[str, Cluster], *, changed: bool) -> None:
        """Names mean these clusters from now on; `changed`: some mean another one than before."""
        self.clusters.now = clusters
        if changed:
            for chain in self._all_chains():
                chain.tell("on_clusters_changed")

    def on_retired(self) -> None:
        """Its last connection has ended: nothing of it is to wait for the garbage collector."""
        for chain in self._all_chains():
            chain.tell("on_retired")


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """`renewals` put into effect what changes in listeners that stay; they have not been called yet."""

    listeners: Mapping[str, Listener]
    clusters: Mapping[str, Cluster]
    endpoints: Endpoints
    renewals: Sequence[Callable[[], None]] = ()


EMPTY = Snapshot({}, {}, Endpoints(0, {}))


class SnapshotBuilder:
    """Makes snapshots. `manager` holds the clusters; `context` is what filters get, but for what is the listener's."""

    def __init__(self, manager: ClusterManager, context: FilterContext, *, worker_index: int) -> None:
        self._manager = manager
        self._context = context
        self._worker_index = worker_index

    def build(self, config: CompiledConfig, endpoints: Endpoints) -> Snapshot:
        """The first one."""
        steps = self._steps(config, endpoints, EMPTY)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                snapshot: Snapshot = done.value
                return snapshot

    async def follow(self, before: Snapshot, config: CompiledConfig, endpoints: Endpoints) -> Snapshot:
        """The one that can follow `before`, which it leaves as it is. Others run after each cluster and listener."""
        steps = self._steps(config, endpoints, before)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                snapshot: Snapshot = done.value
                return snapshot
            await trio.lowlevel.checkpoint()

    def _steps(self, config: CompiledConfig, endpoints: Endpoints, before: Snapshot) -> Generator[None, None, Snapshot]:
        renewals: list[Callable[[], None]] = []
        clusters = yield from self._manager.prepare(config.clusters, endpoints, renewals)
        listeners: dict[str, Listener] = {}
        for each in config.listeners:
            yield
            listeners[each.name] = self._listener(each, clusters, before, renewals)
        return Snapshot(listeners, clusters, endpoints, renewals)

    def _listener(
        self,
        config: ListenerConfig,
        clusters: Mapping[str, Cluster],
        before: Snapshot,
        renewals: list[Callable[[], None]],
    ) -> Listener:
        old = before.listeners.get(config.name)
        if old is not None:
            change = listener_change(old.config, config)
            if change is None:
                return old
            if change.how == "in_place":
                renewals.append(old.renew(config))
                return old
        return Listener(config, clusters, self._context, worker_index=self._worker_index)
