"""The cluster that a request goes to, with its hosts as they are now."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import msgspec

from master.admin.host_health import HostHealth
from master.explain.request.answer import Breaker, Cluster, Host, Share, Subset
from master.explain.request.paths import Paths, to_cluster
from master.explain.request.place import DEFAULT, Path, Place, Places
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.cluster import ClusterEndpoints, Endpoints
from proxy.config.lb import LoadBalancing
from proxy.config.lb_subsets import Labels, LbSubsets
from proxy.config.route import ClusterAction
from proxy.explain.routing import Routing
from proxy.upstream.balancer import Balancer
from proxy.upstream.host_set import HostSet
from proxy.upstream.lb import Surroundings
from proxy.upstream.subset_balancer import SubsetBalancer, Way
from proxy.upstream.tables import ClusterColumn, HostColumn, MemoryTable
from shm.table import TableReader

LIMITS = {
    False: (
        ("max_connections", ClusterColumn.CONNECTIONS),
        ("max_pending_requests", ClusterColumn.PENDING),
        ("max_requests", ClusterColumn.REQUESTS),
        ("max_retries", ClusterColumn.RETRIES),
        ("max_connection_pools", ClusterColumn.POOLS),
    ),
    True: (
        ("max_connections", ClusterColumn.HIGH_CONNECTIONS),
        ("max_pending_requests", ClusterColumn.HIGH_PENDING),
        ("max_requests", ClusterColumn.HIGH_REQUESTS),
        ("max_retries", ClusterColumn.HIGH_RETRIES),
        ("max_connection_pools", ClusterColumn.HIGH_POOLS),
    ),
}
"""Of default and of high priority."""


PROTOCOLS = {"http1": "HTTP/1.1", "downstream": "HTTP/1.1", "http2": "HTTP/2", "alpn": "HTTP/2 or HTTP/1.1"}
"""The request that is explained is one of HTTP/1.1."""


class Counts(NamedTuple):
    """The shared tables of the proxy that runs."""

    hosts: TableReader
    clusters: TableReader


def cluster(
    name: str,
    how: str,
    place: Place,
    labels: Labels,
    config: CompiledConfig,
    endpoints: Endpoints,
    places: Places,
    counts: Counts | None,
    *,
    high: bool,
) -> Cluster:
    """The cluster called `name`, whether it exists or not. `place` is what names it; the request is for its hosts of
    `labels`; `high`: the route's priority.
    """
    known = next((one for one in config.clusters if one.name == name), None)
    if known is None:
        return Cluster(name, how, False, place)
    at = to_cluster(places, config, name)
    found = endpoints.clusters.get(name)
    subset, slots = (None, None) if known.subsets is None else _subset(known.subsets, labels, found, places, at)
    hosts = tuple(_hosts(known, found, counts, slots))
    note = ""
    if known.type == "AGGREGATE":
        members = (one for name in known.members for one in config.clusters if one.name == name)
        hosts = tuple(host for one in members for host in _hosts(one, endpoints.clusters.get(one.name), counts, None))
        note = f"those of {', '.join(known.members)}, in this order" if hosts else "no hosts"
    elif known.type in ("ORIGINAL_DST", "DYNAMIC_FORWARD_PROXY"):
        hosts, note = (), "each request says which its host is"
    elif not hosts and not (slots is not None and found is not None and HostSet.of(found).hosts):
        unresolved = known.dns is not None and counts is None
        note = "its hosts are not known before it runs: their names are resolved then" if unresolved else "no hosts"
    breakers = tuple(_breakers(known, found, places, counts, at, high=high))
    protocol = PROTOCOLS[known.protocol]
    return Cluster(name, how, True, place, known.type, hosts, breakers, (), note, subset, protocol)


def named_by(routing: Routing, places: Places, paths: Paths) -> tuple[str, Place]:
    """How the route of `routing` names its cluster, and where."""
    assert routing.entry is not None
    action = routing.entry.route.action
    assert isinstance(action, ClusterAction)
    if routing.share >= 0:
        share = action.weighted[routing.share]
        how = f"header {share.cluster_header}" if share.cluster_header else "a weighted cluster"
        return how, places.of(*paths.share, "cluster_header" if share.cluster_header else "name")
    if action.cluster_header:
        return f"header {action.cluster_header}", places.of(*paths.action, "cluster_header")
    return "the route", places.of(*paths.action, "cluster")


def shares(routing: Routing, places: Places, paths: Paths) -> tuple[Share, ...]:
    """All weighted clusters of the route; empty if it has none."""
    action = routing.entry.route.action if routing.entry is not None else None
    if not isinstance(action, ClusterAction) or not action.weighted:
        return ()
    total = sum(share.weight for share in action.weighted)
    at = (*paths.action, "weighted_clusters", "clusters")
    return tuple(
        Share(
            share.name or f"(header {share.cluster_header})",
            share.weight,
            100 * share.weight / total,
            index == routing.share,
            Place(places.index(at, index, len(action.weighted))),
        )
        for index, share in enumerate(action.weighted)
    )


def _subset(
    config: LbSubsets, labels: Labels, endpoints: ClusterEndpoints | None, places: Places, at: Path
) -> tuple[Subset, frozenset[int]]:
    """Where a request for `labels` comes to, and the slots of the hosts that it may get."""
    surroundings = Surroundings(LoadBalancing(), 0, Random(0), lambda _: 0)  # which hosts they are is all that counts
    balancer = SubsetBalancer(config, lambda: Balancer(surroundings, lambda: None))
    balancer.update(HostSet.of(endpoints))
    found = balancer.find(labels)
    field = {Way.SUBSET: "subset_selectors", Way.SELECTOR: "subset_selectors", Way.PANIC: "panic_mode_any"}.get(
        found.way, "fallback_policy"
    )
    place = places.first((*at, "lb_subset_config", field), (*at, "lb_subset_config"))
    told = found.labels if found.way is not Way.NONE else ()
    return Subset(_text(labels), found.way.value, _text(told), place), frozenset(
        host.slot for host in found.hosts.hosts
    )


def _text(labels: Labels) -> tuple[str, ...]:
    return tuple(f"{key}={value}" for key, value in labels)


def _health(config: ClusterConfig, counts: Counts | None) -> HostHealth:
    """Of a proxy that does not run, what the endpoints say is all that is known."""
    if counts is not None:
        return HostHealth(config, counts.hosts)
    return HostHealth(msgspec.structs.replace(config, health_check=None, outlier=None), MemoryTable())


def _hosts(
    config: ClusterConfig,
    endpoints: ClusterEndpoints | None,
    counts: Counts | None,
    slots: frozenset[int] | None,
) -> Iterator[Host]:
    """Those of `slots`, None for all."""
    health = _health(config, counts)
    for locality in endpoints.localities if endpoints is not None else ():
        where = "/".join(filter(None, (locality.region, locality.zone, locality.sub_zone)))
        for host in locality.hosts:
            if slots is not None and host.slot not in slots:
                continue
            cx_active = rq_active = None
            if counts is not None:
                cx_active = max(0, counts.hosts.total(host.slot, HostColumn.CX_ACTIVE))
                rq_active = max(0, counts.hosts.total(host.slot, HostColumn.RQ_ACTIVE))
            # As in /clusters.
            told = health.text(host)
            yield Host(
                str(host.address), host.hostname, told, host.weight, where, locality.priority, cx_active, rq_active
            )


def _breakers(
    config: ClusterConfig,
    endpoints: ClusterEndpoints | None,
    places: Places,
    counts: Counts | None,
    at: Path,
    *,
    high: bool,
) -> Iterator[Breaker]:
    thresholds = places.value((*at, "circuit_breakers", "thresholds")) or []
    priority = "HIGH" if high else "DEFAULT"
    own = next((index for index, one in enumerate(thresholds) if one.get("priority", "DEFAULT") == priority), None)
    limits = config.high_breaker if high else config.breaker
    for name, column in LIMITS[high]:
        limit = getattr(limits, name)
        if limit is None or (name == "max_retries" and limits.retry_budget is not None):  # which has no one number
            continue
        place = places.of(*at, "circuit_breakers", "thresholds", own, name) if own is not None else DEFAULT
        slot = endpoints.slot if endpoints is not None else 0
        used = max(0, counts.clusters.total(slot, column)) if counts is not None else None
        yield Breaker(name, limit, used, place)
