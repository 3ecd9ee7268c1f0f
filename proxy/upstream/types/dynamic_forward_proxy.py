"""`envoy.clusters.dynamic_forward_proxy`: the host of a request is the one that its `Host` names.

The filter of the same name has waited until the name's addresses are known; who comes without it finds no host. Hosts
are counted in one row of the shared tables, as those of ORIGINAL_DST are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.cluster import ClusterEndpoints, Host
from proxy.dns.resolvers import Resolvers
from proxy.stats import Stats
from proxy.upstream.cluster import Cluster
from proxy.upstream.cluster_balancer import HostsOf
from proxy.upstream.dns_cache import DnsCache, key_of, split
from proxy.upstream.load_balancer_context import LoadBalancerContext
from proxy.upstream.tables import Tables
from proxy.upstream.types.provided import NOWHERE, Choice, Provided, shared_row


class Names(Provided):
    """As `ClusterBalancer`. `default_port` is that of names without one."""

    def __init__(self, cache: Callable[[], DnsCache], default_port: int, charge_none: Callable[[], None]) -> None:
        super().__init__(charge_none)
        self._cache = cache
        self.default_port = default_port
        self.row = 0

    def choose(self, context: LoadBalancerContext) -> Choice:
        """The host that the request names."""
        request = context.info.request if context.info is not None else None
        if request is None:
            return NOWHERE
        name, port = split(request.authority, self.default_port)
        found = self._cache().find(name, port)
        if found is None or not found.addresses:
            return NOWHERE
        first, *others = found.addresses
        return Choice(Host(self.row, first, key_of(name, port), additional=tuple(others)))


class DynamicForwardProxyCluster(Cluster):
    """Its endpoints hold nothing but the row that all names share."""

    picks_by_request = True
    balancer: Names

    def __init__(
        self,
        config: ClusterConfig,
        endpoints: ClusterEndpoints | None,
        stats: Stats,
        tables: Tables,
        **others: Any,
    ) -> None:
        super().__init__(config, endpoints, stats, tables, **others)
        assert config.dns_cache is not None
        resolvers = Resolvers(stats)
        self.cache = DnsCache(config.dns_cache, stats, resolvers, self._background, self._forget_others, self.retired)
        self._preresolved = False

    def _new_balancer(self, stats: Stats, tables: Tables, seed: int, hosts_of: HostsOf) -> Names:
        port = 80 if self.config.tls is None else 443
        return Names(lambda: self.cache, port, self.stats.cx_none_healthy.inc)

    def update_endpoints(self, endpoints: ClusterEndpoints | None) -> None:
        """Take over the row."""
        self.endpoints = endpoints
        self.balancer.row = shared_row(endpoints)

    async def load(self, authority: bytes) -> None:
        """Returns once the host that `authority` names is known. Raises `ProxyError`."""
        await self.cache.load(*split(authority, self.balancer.default_port))

    @property
    def draining(self) -> bool:
        """Whether a request still runs to a host that was forgotten; TCP connections keep theirs."""
        return self._pools.draining

    def reap(self, now: float) -> None:
        """As `Cluster`; the names of the configuration are asked for the first time."""
        super().reap(now)
        if not self._preresolved:
            self._preresolved = True
            self.cache.preresolve()

    def _forget_others(self) -> None:
        """Connections to addresses that no name has any more end with their requests."""
        row = self.balancer.row
        hosts = [
            Host(row, each.addresses[0], key, additional=each.addresses[1:])
            for key, each in self.cache.names.items()
            if each.addresses
        ]
        self._pools.keep(map(self._pools.identity, hosts))
