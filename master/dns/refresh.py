"""Keeps the hosts of DNS clusters fresh: one task per name, one publication for all changes of a moment."""

from __future__ import annotations

import functools
import logging
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import trio
from msgspec.structs import replace

from master.dns.departures import Departures
from master.dns.discovery import ClusterType, Target, addresses, alike, found_in, localities, refresh_after, targets
from master.dns.rows import Rows
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Cluster, ClusterEndpoints, Dns, DnsEndpoint, Endpoints, LocalityHosts
from proxy.config.dns import DnsResolver, LookupFamily
from proxy.dns.backoff import FailureBackoff
from proxy.dns.result import Failed, Resolved, Result
from proxy.stats import Stats
from proxy.upstream.tables import Cells, MemoryTable

log = logging.getLogger("dns")


class Lookup(Protocol):
    """Looks a name up (`Resolvers.lookup`)."""

    async def lookup(self, name: str, family: LookupFamily, how: DnsResolver) -> Result: ...


class Discovery:
    """The hosts of all clusters: those that the configuration names, and those of names, which are looked up for ever.

    `run` runs until it is cancelled. Every change is published as a whole new `Endpoints`, its version one above the
    last; changes that come while `publish` runs go into the next one. `publish` lets the tables grow to what `rows`
    needs and clears the rows that it reuses before any worker hears of the new endpoints.
    Hosts that `endpoints` has already (of a controller that died) stay until their name resolves to something else.
    `hosts` is the shared table, for what health checks say of hosts that are to leave.
    """

    def __init__(
        self,
        config: CompiledConfig,
        endpoints: Endpoints,
        stats: Stats,
        publish: Callable[[Endpoints], Awaitable[None]],
        *,
        rows: Rows,
        hosts: Cells | None = None,
        resolver: Lookup | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.endpoints = endpoints
        self._hosts = hosts or MemoryTable()
        self._stats = stats
        self._publish = publish
        self._rows = rows
        self._resolver = resolver
        self._rng = rng or random.Random()
        self._names = {each.name: found for each in config.clusters if (found := self._refresh(each)) is not None}
        self._changed = trio.Event()
        self._turn = trio.Lock()  # of who makes the next version
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """`task_status.started` is called once every cluster has had a first result, as Envoy's clusters warm."""
        async with trio.open_nursery() as self._nursery:
            for found in self._names.values():
                self._nursery.start_soon(found.run)
            await self._publish_changes(task_status)

    async def follow(self, config: CompiledConfig, *, warm_within: float) -> Next:
        """Begin to discover what is new in `config`, and return its hosts once each new name has had a first result, or
        after `warm_within` seconds. Nothing is published until `commit` or `abort`, of which one must follow.
        """
        await self._turn.acquire()
        try:
            names = {each.name: found for each in config.clusters if (found := self._kept_or_new(each)) is not None}
            new = [found for found in names.values() if found not in self._names.values()]
            with trio.move_on_after(warm_within):
                await self._warm(new)
            version = self.endpoints.version + 1
            clusters = {
                each.name: self._next(names.get(each.name), config.endpoints.clusters[each.name], version)
                for each in config.clusters
            }
            return Next(Endpoints(version, clusters), names, new)
        except BaseException:
            self._turn.release()
            raise

    def commit(self, following: Next) -> None:
        """Its hosts are the ones that the workers use now."""
        for name, found in self._names.items():
            if following.names.get(name) is not found:
                found.scope.cancel()
        self.endpoints, self._names = following.endpoints, following.names
        self._rows.published(self.endpoints)
        self._wake()
        self._turn.release()

    def abort(self, following: Next) -> None:
        """As if it had never been asked for."""
        for found in following.new:
            found.scope.cancel()
        self._turn.release()

    def _refresh(self, cluster: Cluster) -> _ClusterRefresh | None:
        """None if there is nothing to look up."""
        kind = cluster.type
        if cluster.dns is None or (kind != "STRICT_DNS" and kind != "LOGICAL_DNS"):
            return None
        if self._resolver is None:
            self._resolver = _new_resolvers(self._stats)
        before = self.endpoints.clusters.get(cluster.name)
        slot_of = functools.partial(self._rows.hosts.slot, cluster.name)
        departures = Departures(cluster, self._hosts, slot_of)
        return _ClusterRefresh(
            cluster, kind, cluster.dns, before, self._stats, self._resolver, self._rng, self._wake, departures
        )

    def _kept_or_new(self, cluster: Cluster) -> _ClusterRefresh | None:
        found = self._names.get(cluster.name)
        return found if found is not None and found.cluster == cluster else self._refresh(cluster)

    async def _warm(self, new: list[_ClusterRefresh]) -> None:
        assert self._nursery is not None
        for found in new:
            self._nursery.start_soon(found.run)
        for found in new:
            await found.warmed.wait()

    def _next(self, found: _ClusterRefresh | None, given: ClusterEndpoints, version: int) -> ClusterEndpoints:
        """The hosts of one cluster in the next configuration: the very same object if nothing changes."""
        name = given.cluster
        hosts = self._rows.placed(name, given.localities) if found is None else found.hosts(self._rows)
        fresh = replace(given, version=version, localities=hosts, slot=self._rows.cluster(name))
        old = self.endpoints.clusters.get(name)
        if old is not None and replace(old, version=version) == fresh:
            return old
        return fresh

    def _fresh(self, found: _ClusterRefresh, version: int) -> ClusterEndpoints:
        known = self.endpoints.clusters.get(found.name) or ClusterEndpoints(found.name, version, ())
        slot = self._rows.cluster(found.name)
        return replace(known, version=version, localities=found.hosts(self._rows), slot=slot)

    def _wake(self) -> None:
        self._changed.set()

    async def _publish_changes(self, task_status: trio.TaskStatus[None]) -> None:
        """Publishes what changed, then waits for the next change."""
        warming = bool(self._names)
        if not warming:
            task_status.started()
        while True:
            self._changed = trio.Event()
            async with self._turn:
                dirty = [found for found in self._names.values() if found.take_changed()]
                if dirty:
                    version = self.endpoints.version + 1
                    fresh = {found.name: self._fresh(found, version) for found in dirty}
                    self.endpoints = Endpoints(version=version, clusters={**self.endpoints.clusters, **fresh})
                    self._rows.published(self.endpoints)
                    await self._publish(self.endpoints)
                    continue
            if warming and all(found.warmed.is_set() for found in self._names.values()):
                warming = False
                task_status.started()
            await self._changed.wait()


class Next(NamedTuple):
    """What follows the present hosts if it is committed. `new` are those of `names` whose lookups have just begun."""

    endpoints: Endpoints
    names: dict[str, _ClusterRefresh]
    new: list[_ClusterRefresh]


def _new_resolvers(stats: Stats) -> Lookup:
    # dnspython is most of what a controller imports; without DNS clusters it starts, and comes back, sooner.
    from proxy.dns.resolvers import Resolvers

    return Resolvers(stats)


class _ClusterRefresh:
    """One cluster: the addresses found for each of its names."""

    def __init__(
        self,
        cluster: Cluster,
        cluster_type: ClusterType,
        dns: Dns,
        before: ClusterEndpoints | None,
        stats: Stats,
        resolver: Lookup,
        rng: random.Random,
        wake: Callable[[], None],
        departures: Departures,
    ) -> None:
        self.name = cluster.name
        self.cluster = cluster
        self.warmed = trio.Event()
        self.scope = trio.CancelScope()
        self._wake = wake
        self._type = cluster_type
        self._dns = dns
        self._resolver = resolver
        self._rng = rng
        self._backoff = FailureBackoff(dns.refresh_rate, dns.failure_refresh_base, dns.failure_refresh_max, rng)
        self._found: dict[Target, tuple[str, ...]] = found_in(dns, before.localities) if before else {}
        self._leaving: dict[Target, tuple[str, ...]] = found_in(dns, before.localities, leaving=True) if before else {}
        self._departures = departures
        self._failing: set[Target] = set()
        self._changed = False
        prefix = f"cluster.{cluster.stat_name}."
        self._attempt = stats.counter(prefix + "update_attempt")
        self._success = stats.counter(prefix + "update_success")
        self._failure = stats.counter(prefix + "update_failure")
        self._no_rebuild = stats.counter(prefix + "update_no_rebuild")
        self._membership_change = stats.counter(prefix + "membership_change")
        stats.counter(prefix + "update_empty")  # exists for every cluster; Envoy counts it for EDS alone

    async def run(self) -> None:
        """Until `scope` is cancelled."""
        names = targets(self._dns)
        if not names or not self._dns.warms:
            self._settled()
        with self.scope:
            async with trio.open_nursery() as nursery:
                for target, endpoint in names.items():
                    nursery.start_soon(self._refresh, target, endpoint)

    async def _refresh(self, target: Target, endpoint: DnsEndpoint) -> None:
        while True:
            self._attempt.inc()
            result = await self._resolver.lookup(endpoint.name, self._dns.lookup_family, self._dns.resolver)
            self._report(target, endpoint, result)
            delay = self._apply(target, result)
            self._settled()
            await trio.sleep(delay)

    def _apply(self, target: Target, result: Result) -> float:
        """Takes a result in; seconds until the next lookup."""
        found = addresses(self._type, result)
        if found is None or not isinstance(result, Resolved):
            self._failure.inc()
            return self._backoff.next()
        self._success.inc()
        self._backoff.reset()
        self._take(target, found)
        return refresh_after(self._dns, self._type, result, self._rng)

    def _take(self, target: Target, found: tuple[str, ...]) -> None:
        """These addresses are those of a name now."""
        before, leaving = self._found.get(target, ()), self._leaving.get(target, ())
        stay = self._departures.staying(targets(self._dns)[target], (*before, *leaving), found)
        same = alike(self._type, found, before)
        if same and set(stay) == set(leaving):
            self._no_rebuild.inc()
            return
        self._found[target], self._leaving[target], self._changed = found, stay, True
        if self._type == "STRICT_DNS" and {*before, *leaving} == {*found, *stay}:
            self._no_rebuild.inc()  # they only leave, or do not any more
        else:
            self._membership_change.inc()

    def _report(self, target: Target, endpoint: DnsEndpoint, result: Result) -> None:
        """Logs that a name began to fail, with the reason, and that it resolves again."""
        if addresses(self._type, result) is None:
            if target not in self._failing:
                reason = f"{result.failure.value} ({result.detail})" if isinstance(result, Failed) else "no addresses"
                log.warning("cluster %s: %s: %s; its hosts stay as they are", self.name, endpoint.name, reason)
            self._failing.add(target)
        elif target in self._failing:
            self._failing.discard(target)
            log.info("cluster %s: %s resolves again", self.name, endpoint.name)

    def _settled(self) -> None:
        self.warmed.set()
        self._wake()

    def take_changed(self) -> bool:
        """Whether anything changed since the last call."""
        changed, self._changed = self._changed, False
        return changed

    def hosts(self, rows: Rows) -> tuple[LocalityHosts, ...]:
        """Those there are now."""
        slot_of = functools.partial(rows.hosts.slot, self.name)
        return localities(self._dns, self._type, self._found, slot_of, self._leaving)
