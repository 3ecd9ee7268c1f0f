"""Which hosts this worker checks: those that it owns, of all clusters that have health checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from proxy.config.cluster import Host, LocalityHosts
from proxy.config.health_check import HealthCheck, TcpCheck
from proxy.net.bell import Bell
from proxy.stats import Stats
from proxy.upstream.background import Background
from proxy.upstream.codecs import Codecs
from proxy.upstream.health import checkers
from proxy.upstream.health.events import EventLog, OpenLog
from proxy.upstream.health.session import Session
from proxy.upstream.health.stats import HealthCheckStats
from proxy.upstream.health.target import CompileMutations, Means, Target
from proxy.upstream.health.verdicts import Event
from proxy.upstream.host_status import Checked
from proxy.upstream.owners import Owners
from proxy.upstream.tables import HostColumn, Table

if TYPE_CHECKING:
    from proxy.upstream.cluster import Cluster

LOOK: Final = 1.0
"""Seconds, at most, until a worker takes over what another one has left."""

GRACE: Final = 1.0
WARM_DEADLINE: Final = 15.0
"""Seconds for the first verdicts on the hosts of a cluster, beside their checks' own time, and in any case."""

WARM_POLL: Final = 0.02


def first_within(config: HealthCheck) -> float:
    """Seconds in which the first check of each host has ended."""
    return config.initial_jitter + config.timeout + GRACE


class Tools(NamedTuple):
    """What stands on higher floors: `compile` makes header mutations, `open_log` opens a file for lines."""

    compile: CompileMutations
    open_log: OpenLog


NO_TOOLS: Final = Tools(lambda mutations: None, lambda path: lambda line: None)
"""Where there are no higher floors."""


class HealthChecks:
    """Of all clusters of a worker."""

    def __init__(self, stats: Stats, hosts: Table, owners: Owners, background: Background, tools: Tools) -> None:
        self._stats = stats
        self._hosts = hosts
        self._owners = owners
        self._background = background
        self._tools = tools
        self._clusters: dict[Cluster, ClusterChecks] = {}
        self._changed = Bell()

    def follow(self, clusters: Iterable[Cluster]) -> None:
        """Check the hosts of these from now on, and of no others."""
        wanted = {cluster for cluster in clusters if cluster.config.health_check is not None}
        for gone in self._clusters.keys() - wanted:
            self._clusters.pop(gone).stop()
        self._begin(wanted)
        for checks in self._clusters.values():
            checks.serve()

    async def prepare(self, clusters: Iterable[Cluster]) -> None:
        """Ask for the first time, before these serve: `follow` comes next, with them or without."""
        new = self._begin(cluster for cluster in clusters if cluster.config.health_check is not None)
        await self._warm(new)

    def _begin(self, clusters: Iterable[Cluster]) -> list[Cluster]:
        """Those of `clusters` that are new."""
        new = [cluster for cluster in clusters if cluster not in self._clusters]
        for cluster in new:
            check = cluster.config.health_check
            assert check is not None
            log = EventLog(cluster.config.name, check, self._tools.open_log)
            self._clusters[cluster] = ClusterChecks(
                cluster, self._means(cluster, check), self._hosts, self._owners, log
            )
        self._changed.ring()
        return new

    def update(self) -> None:
        """Some have other hosts."""
        for checks in self._clusters.values():
            checks.look_again.ring()

    async def run(self) -> None:
        """Until cancelled."""
        running: set[ClusterChecks] = set()
        async with trio.open_nursery() as nursery:
            while True:
                for checks in set(self._clusters.values()) - running:
                    nursery.start_soon(checks.run)
                running = set(self._clusters.values())
                await self._changed.wait()

    async def warm(self) -> None:
        """Until something is known of each host, or its first check is overdue."""
        await self._warm(list(self._clusters))

    async def _warm(self, clusters: Iterable[Cluster]) -> None:
        began = trio.current_time()
        for cluster in clusters:
            checks = self._clusters[cluster]
            deadline = began + min(first_within(checks.config), WARM_DEADLINE)
            while not checks.known and trio.current_time() < deadline:  # noqa: ASYNC110 - the words are shared memory
                await trio.sleep(WARM_POLL)
            cluster.follow_status()

    def _means(self, cluster: Cluster, check: HealthCheck) -> Means:
        return Means(
            cluster.config,
            check,
            cluster.sockets,
            self._background,
            HealthCheckStats(self._stats, cluster.config.stat_name),
            Codecs(cluster.config, self._stats),
            self._tools.compile(() if isinstance(check.kind, TcpCheck) else check.kind.edits),
        )


class ClusterChecks:
    """Of one cluster, for as long as it has its name. Before it serves, those hosts alone are checked of which nothing
    is known: the others may be those of a cluster that does, and that is checked otherwise.
    """

    def __init__(self, cluster: Cluster, means: Means, hosts: Table, owners: Owners, log: EventLog) -> None:
        self._cluster = cluster
        self.config = means.check
        self._means = means
        self._hosts = hosts
        self._owners = owners
        self._log = log
        if cluster.fast_failure is not None:
            cluster.fast_failure.log = log
        self._random = Random()
        self._sessions: dict[Host, Session] = {}
        self._scope = trio.CancelScope()
        self._had_traffic = False
        self._serves = False
        self.look_again = Bell()

    @property
    def known(self) -> bool:
        """Whether something is known of every host."""
        return all(self._cluster.status.checked(host) & Checked.KNOWN for host in self._checked())

    def serve(self) -> None:
        """The cluster has its name from now on."""
        self._serves = True
        self.look_again.ring()

    def stop(self) -> None:
        """No more checks."""
        self._scope.cancel()

    async def run(self) -> None:
        """Until `stop`."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                while True:
                    self._look(nursery)
                    with trio.move_on_after(min(LOOK, self.config.interval)):
                        await self.look_again.wait()

    def _look(self, nursery: trio.Nursery) -> None:
        """Begin with the hosts that have become ours, end with those that are not any more."""
        name = self._cluster.config.name
        self._log.places = self._checked()
        hosts = set(self._log.places)
        ours = {host for host in hosts if self._owners.mine(f"{name}/{host.address}") and self._may_check(host)}
        for host in self._sessions.keys() - hosts:
            self._sessions[host].stop()
        for host in (self._sessions.keys() & hosts) - ours:
            self._sessions[host].leave()
        for host in ours - self._sessions.keys():
            session = self._sessions[host] = self._session(host)
            nursery.start_soon(self._run, session)

    def _may_check(self, host: Host) -> bool:
        return self._serves or host in self._sessions or not self._cluster.status.checked(host) & Checked.KNOWN

    async def _run(self, session: Session) -> None:
        try:
            await session.run()
        finally:
            del self._sessions[session.host]

    def _session(self, host: Host) -> Session:
        means = self._means
        return Session(
            host,
            self.config,
            self._cluster.status,
            checkers.make(self.config.kind, Target(means, host)),
            means.stats,
            self._random,
            traffic=self._has_traffic,
            told=self._told,
        )

    def _told(self, host: Host, events: Iterable[Event]) -> None:
        self._cluster.follow_status()
        self._log.write(host, events)

    def _has_traffic(self) -> bool:
        """Whether any worker has ever had a connection to a host of the cluster, be it of a generation before."""
        if not self._had_traffic:
            checked = self._cluster.status.checked
            self._had_traffic = any(
                self._hosts.total(host.slot, HostColumn.CX_TOTAL) or checked(host) & Checked.HAD_TRAFFIC
                for host in self._checked()
            )
        return self._had_traffic

    def _checked(self) -> Mapping[Host, LocalityHosts]:
        """The hosts that are to be checked, and where they are."""
        endpoints = self._cluster.endpoints
        return {
            host: locality
            for locality in (endpoints.localities if endpoints is not None else ())
            for host in locality.hosts
            if host.check is None or not host.check.disabled
        }
