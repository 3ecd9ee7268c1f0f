"""What a configuration changes in the one before, resource by resource. Pure: `proxyctl diff` shows it, workers do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from proxy import registry
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Cluster, ClusterEndpoints
from proxy.config.common import PluginConfig
from proxy.config.listener import FilterChain, Listener
from proxy.config.secrets import cluster_in_place, tls_in_place
from proxy.filters.network import NETWORK_FILTERS

How = Literal["added", "removed", "modified", "in_place", "drains"]


class Change(msgspec.Struct, frozen=True):
    """`how`:

    * listeners: `added`, `removed` (its connections drain), `in_place` (its connections stay: the next request sees
      other routes, the next handshake other certificates), `drains` (new connections see it, open ones drain);
    * clusters: `added`, `removed`, `modified` (requests in hand finish on connections to the old one), `in_place` (its
      hosts or certificates alone: connections to hosts that stay are kept).

    `chains_only`: nothing of the listener but its filter chains differs, which Envoy counts as an update in place.
    """

    kind: Literal["listener", "cluster"]
    name: str
    how: How
    chains_only: bool = False


def changes(before: CompiledConfig, now: CompiledConfig) -> tuple[Change, ...]:
    """Listeners, then clusters, each in the order of `now`, what is removed last."""
    return (*_listeners(before, now), *_clusters(before, now))


def listener_change(before: Listener, now: Listener) -> Change | None:
    """None if they are the same."""
    if before == now:
        return None
    alike = {"filter_chains": now.filter_chains, "default_filter_chain": now.default_filter_chain}
    if msgspec.structs.replace(before, **alike) != now:
        return Change("listener", now.name, "drains")
    old, new = before.all_chains, now.all_chains
    same_chains = (len(before.filter_chains), len(old)) == (len(now.filter_chains), len(new))
    in_place = same_chains and all(_chain_in_place(*pair) for pair in zip(old, new, strict=True))
    return Change("listener", now.name, "in_place" if in_place else "drains", chains_only=True)


def _chain_in_place(before: FilterChain, now: FilterChain) -> bool:
    if msgspec.structs.replace(before, filters=now.filters, tls=now.tls) != now:
        return False
    if len(before.filters) != len(now.filters) or not tls_in_place(before.tls, now.tls):
        return False
    return all(filter_in_place(old, new) for old, new in zip(before.filters, now.filters, strict=True))


def filter_in_place(before: PluginConfig, now: PluginConfig) -> bool:
    """Whether the filter is the same, or can take its new configuration over where it stands (`in_place`)."""
    if before == now:
        return True
    if (before.name, before.type_url) != (now.name, now.type_url):
        return False
    kind = registry.load(NETWORK_FILTERS, now.type_url)
    if not hasattr(kind, "in_place"):
        return False
    old, new = (msgspec.msgpack.decode(plugin.config, type=kind.Config) for plugin in (before, now))
    return bool(kind.in_place(old, new))


def _listeners(before: CompiledConfig, now: CompiledConfig) -> Iterator[Change]:
    old, new = ({listener.name: listener for listener in config.listeners} for config in (before, now))
    for name, listener in new.items():
        if name not in old:
            yield Change("listener", name, "added")
        elif change := listener_change(old[name], listener):
            yield change
    for name in old.keys() - new.keys():
        yield Change("listener", name, "removed")


def _clusters(before: CompiledConfig, now: CompiledConfig) -> Iterator[Change]:
    old, new = ({cluster.name: cluster for cluster in config.clusters} for config in (before, now))
    for name, cluster in new.items():
        if name not in old:
            yield Change("cluster", name, "added")
        elif old[name] != cluster:
            yield Change("cluster", name, "in_place" if cluster_in_place(old[name], cluster) else "modified")
        elif _hosts(before, cluster) != _hosts(now, cluster):
            yield Change("cluster", name, "in_place")
    for name in old.keys() - new.keys():
        yield Change("cluster", name, "removed")


def _hosts(config: CompiledConfig, cluster: Cluster) -> object:
    """What the file says of its hosts, apart from the rows that they were given."""
    found: ClusterEndpoints | None = config.endpoints.clusters.get(cluster.name)
    return found and [
        msgspec.structs.replace(locality, hosts=tuple(msgspec.structs.replace(host, slot=0) for host in locality.hosts))
        for locality in found.localities
    ]
