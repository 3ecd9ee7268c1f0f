"""Stats of gRPC calls, `cluster.<name>.grpc.<service>.<method>.*` (`Grpc::ContextImpl`)."""

from __future__ import annotations

from typing import Any

from proxy.config.route import ClusterAction
from proxy.http.exchange import Exchange
from proxy.http.grpc import STATUS
from proxy.http.headers import Headers
from proxy.limits import MAX_GRPC_METHODS
from proxy.stats import Counter, Stats

_MAX_COUNTERS = 32
"""Of one method: statuses are what upstreams make of them."""

Names = tuple[str, str]
"""A service and its method."""


class CallCounters:
    """Of one method, or of all that have no stats by name. A name is a stat's only once it counts something."""

    __slots__ = ("_counters", "_prefix", "_stats")

    def __init__(self, stats: Stats, prefix: str) -> None:
        self._stats = stats
        self._prefix = prefix
        self._counters: dict[str, Counter] = {}

    def add(self, name: str, amount: int = 1) -> None:
        """Count `amount` under `name`."""
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = self._stats.counter(f"{self._prefix}{name}")
        counter.inc(amount)

    def charge(self, fields: Headers | None) -> None:
        """The end of a call, if `fields`, a head or trailers, have its status."""
        status = fields.get(STATUS) if fields is not None else None
        if status is None:
            return
        name = status.decode("latin-1")
        if name in self._counters or len(self._counters) < _MAX_COUNTERS:
            self.add(name)
        self.add("success" if status == b"0" else "failure")
        self.add("total")

    def record_time(self, milliseconds: int) -> None:
        """How long the upstream took."""
        self._stats.histogram(f"{self._prefix}upstream_rq_time").record(milliseconds)


class GrpcCounters:
    """All that one filter of a worker counts under `protocol`."""

    def __init__(self, stats: Stats, protocol: str = "grpc") -> None:
        self._stats = stats
        self._protocol = protocol
        self._known: dict[tuple[str, Names | None], CallCounters] = {}

    def of(self, exchange: Exchange, names: Names | None) -> CallCounters | None:
        """What a call of `names` counts in, at the cluster that its route chooses now; None without one."""
        cluster = _cluster(exchange)
        if cluster is None:
            return None
        cluster_name: str = cluster.config.stat_name
        found = self._known.get((cluster_name, names))
        if found is None and names is not None and len(self._known) >= MAX_GRPC_METHODS:
            names = None
            found = self._known.get((cluster_name, None))
        if found is None:
            method = "".join(f"{name}." for name in names or ())
            found = CallCounters(self._stats, f"cluster.{cluster_name}.{self._protocol}.{method}")
            self._known[cluster_name, names] = found
        return found


def _cluster(exchange: Exchange) -> Any:
    entry = exchange.route
    if entry is None or not isinstance(entry.route.action, ClusterAction):
        return None
    return exchange.clusters.get(entry.cluster_name(exchange.request))
