"""Keeps the hosts of DNS clusters fresh: one task per name, one publication for all changes of a moment."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from master.dns.backoff import FailureBackoff
from master.dns.discovery import ClusterType, Target, addresses, found_in, localities, refresh_after, targets
from master.dns.family import LookupFamily
from master.dns.result import Failed, Resolved, Result
from master.dns.slots import SlotAllocator
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Cluster, ClusterEndpoints, Dns, DnsEndpoint, Endpoints
from proxy.stats import Stats

log = logging.getLogger("dns")


class Lookup(Protocol):
    """Looks a name up (`Resolver.lookup`)."""

    async def lookup(self, name: str, family: LookupFamily) -> Result: ...


async def discover(
    config: CompiledConfig,
    endpoints: Endpoints,
    stats: Stats,
    publish: Callable[[Endpoints], Awaitable[None]],
    *,
    slots: SlotAllocator,
    resolver: Lookup | None = None,
    rng: random.Random | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Looks up the names of all DNS clusters of `config`, for ever; runs until it is cancelled.

    Every change is published as a whole new `Endpoints`, its version one above the last; changes that come while
    `publish` runs go into the next one. `slots` was made from `endpoints`; `publish` lets the hosts table grow to
    `slots.rows` and clears the rows of `slots.take_reused()` before any worker hears of the new endpoints. Hosts that
    `endpoints` has already (of a controller that died) stay until their name resolves to something else.
    `task_status.started` is called once every cluster has had a first result, as Envoy's clusters warm.
    """
    rng = rng or random.Random()
    clusters = []
    for found in config.clusters:
        if found.dns is not None and found.type != "STATIC":
            resolver = resolver or _new_resolver()
            known = endpoints.clusters.get(found.name)
            clusters.append(_ClusterRefresh(found, found.type, found.dns, known, stats, resolver, rng))
    async with trio.open_nursery() as nursery:
        for cluster in clusters:
            nursery.start_soon(cluster.run)
        nursery.start_soon(_publish_changes, clusters, endpoints, slots, publish, task_status)


def _new_resolver() -> Lookup:
    # dnspython is most of what a controller imports; without DNS clusters it starts, and comes back, sooner.
    from master.dns.resolver import Resolver

    return Resolver()


async def _publish_changes(
    clusters: list[_ClusterRefresh],
    endpoints: Endpoints,
    slots: SlotAllocator,
    publish: Callable[[Endpoints], Awaitable[None]],
    task_status: trio.TaskStatus[None],
) -> None:
    """Publishes what changed, then waits for the next change."""
    warming = bool(clusters)
    if not warming:
        task_status.started()
    while True:
        changed = trio.Event()
        for cluster in clusters:
            cluster.wake = changed.set
        dirty = [cluster for cluster in clusters if cluster.take_changed()]
        if dirty:
            version = endpoints.version + 1
            fresh = {cluster.name: cluster.endpoints(version, slots) for cluster in dirty}
            endpoints = Endpoints(version=version, clusters={**endpoints.clusters, **fresh})
            slots.published(endpoints)
            await publish(endpoints)
            continue
        if warming and all(cluster.warm for cluster in clusters):
            warming = False
            task_status.started()
        await changed.wait()


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
    ) -> None:
        self.name = cluster.name
        self.warm = False
        self.wake: Callable[[], None] = lambda: None
        self._type = cluster_type
        self._dns = dns
        self._resolver = resolver
        self._backoff = FailureBackoff(dns.refresh_rate, dns.failure_refresh_base, dns.failure_refresh_max, rng)
        self._found: dict[Target, tuple[str, ...]] = found_in(dns, before.localities) if before else {}
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
        names = targets(self._dns)
        if not names:
            self._settled()
        async with trio.open_nursery() as nursery:
            for target, endpoint in names.items():
                nursery.start_soon(self._refresh, target, endpoint)

    async def _refresh(self, target: Target, endpoint: DnsEndpoint) -> None:
        while True:
            self._attempt.inc()
            result = await self._resolver.lookup(endpoint.name, self._dns.lookup_family)
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
        # The same addresses in another order are no change: servers rotate them.
        if set(found) == set(self._found.get(target, ())):
            self._no_rebuild.inc()
        else:
            self._found[target] = found
            self._membership_change.inc()
            self._changed = True
        return refresh_after(self._dns, self._type, result)

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
        self.warm = True
        self.wake()

    def take_changed(self) -> bool:
        """Whether anything changed since the last call."""
        changed, self._changed = self._changed, False
        return changed

    def endpoints(self, version: int, slots: SlotAllocator) -> ClusterEndpoints:
        """The hosts now."""
        hosts = localities(self._dns, self._type, self._found, lambda address: slots.slot(self.name, address))
        return ClusterEndpoints(cluster=self.name, version=version, localities=hosts)
