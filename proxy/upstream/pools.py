"""The pools of one cluster in one worker: one for each host, and for whatever else keeps requests from sharing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from proxy.config.cluster import Cluster, Host
from proxy.limits import MAX_NAMED_POOLS
from proxy.upstream.alpn_pool import AlpnPool
from proxy.upstream.background import Background
from proxy.upstream.circuit_breaker import CircuitBreaker, HostBreaker
from proxy.upstream.codecs import Codecs
from proxy.upstream.http1_pool import Http1Pool
from proxy.upstream.http1_preconnect import PreconnectingHttp1Pool
from proxy.upstream.http2_pool import Http2Pool
from proxy.upstream.load_balancer_context import LoadBalancerContext
from proxy.upstream.outlier.monitor import HostMonitor
from proxy.upstream.pool import Common, Pool
from proxy.upstream.stats import ClusterStats
from proxy.upstream.tables import Table
from proxy.upstream.tcp_pool import TcpPool
from proxy.upstream.transport_options import TransportOptions
from proxy.upstream.transport_sockets import HTTP1, HTTP2, TransportSockets


class Key(NamedTuple):
    """Requests with equal keys share a pool. `host` is its `Pools.identity`; `multiplexed`: it speaks HTTP/2; `tcp`:
    nothing of HTTP.
    """

    host: object
    high: bool
    transport: TransportOptions | None
    multiplexed: bool
    tcp: bool


class Pools:
    """A pool belongs to a host's identity (slot, addresses, hostname, transport socket), so it survives a change of
    weight or locality. Requests of high priority have pools, and the limits of `high_breaker`, of their own. `numbers`
    are for connections, `background` runs those that outlive the request that they were opened for, and with them what
    `cluster` gives. `monitor` makes what hears of requests to a host, `fast_failure` is told of hosts whose responses
    want no more requests.
    """

    def __init__(
        self,
        config: Cluster,
        stats: ClusterStats,
        breaker: CircuitBreaker,
        high_breaker: CircuitBreaker,
        hosts: Table,
        sockets: TransportSockets,
        codecs: Codecs,
        numbers: Iterator[int],
        background: Background,
        cluster: Callable[[], object],
        monitor: Callable[[Host], HostMonitor] | None = None,
        fast_failure: Callable[[Host], None] | None = None,
    ) -> None:
        self.config = config
        self._monitor = monitor
        self._stats = stats
        self._breakers = breaker, high_breaker
        self._limits_hosts = any(
            one.max_connections_per_host is not None for one in (config.breaker, config.high_breaker)
        )
        self._hosts = hosts
        self._sockets = sockets
        self._codecs = codecs
        self._numbers = numbers
        self._background = background
        self._cluster = cluster
        self._fast_failure = fast_failure
        self._pools: dict[Key, Pool] = {}
        self._draining: list[tuple[bool, Pool]] = []  # with whether their requests have high priority
        self._retired = False
        self.refused = False

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools.values())

    def identity(self, host: Host) -> object:
        """What is another host, as far as connections go. A host of another match has connections of its own."""
        place = self._sockets.place(host) if self.config.socket_matches else -1
        return (host.slot, host.address, host.additional, host.hostname, place)

    def get(self, host: Host, context: LoadBalancerContext) -> Pool | None:
        """The pool for requests like that of `context` to `host`; None if there may be no more pools (`refused`)."""
        protocol, transport = self.config.protocol, context.asked(own=self.config.pool_per_downstream_connection)
        multiplexed = protocol == "http2" or (protocol == "downstream" and context.http2)
        key = Key(self.identity(host), context.high, transport, multiplexed, context.tcp)
        pool = self._pools.get(key)
        if pool is None:
            self.refused = not self._claim(key)
            if self.refused:
                return None
            if transport is not None and transport.owner is None:
                self._make_room()
            pool = self._pools[key] = self._new(host, key)
            if self._retired:
                pool.drain()
        return pool

    def breaker_of(self, host: Host, high: bool) -> CircuitBreaker:
        """What limits connections to `host`."""
        breaker = self._breakers[high]
        return HostBreaker(breaker, self._hosts, host.slot) if self._limits_hosts else breaker

    def keep(self, identities: Iterable[object]) -> None:
        """These hosts are left: the pools of others close their idle connections now."""
        kept = set(identities)
        for key in [key for key in self._pools if key.host not in kept]:
            self._retire(key)

    def let_go(self, host: Host) -> None:
        """`host` has failed: none of its connections is used again, as new ones may find a better way."""
        identity = self.identity(host)
        for key in [key for key in self._pools if key.host == identity]:
            self._retire(key)

    @property
    def draining(self) -> bool:
        """Whether a request still runs to a host that has left."""
        return any(not pool.empty for _, pool in self._draining)

    def reap(self, now: float) -> None:
        """Close idle connections that are of no more use; forget drained pools, and those of names and of clients that
        nobody asks for any more.
        """
        for pool in self._pools.values():
            pool.reap(now)
        asked = [(key, key.transport) for key in self._pools if key.transport is not None]
        for key, transport in asked:
            if transport.orphaned or self._pools[key].empty:
                self._retire(key)
        if self._breakers[0].counts_pools or self._breakers[1].counts_pools:
            self._retire_empty()
        self._forget_drained()

    def close(self) -> None:
        """Close every idle connection, and the busy ones as soon as their request ends."""
        for key in list(self._pools):
            self._retire(key)

    def retire(self) -> None:
        """No connection is used again."""
        self._retired = True
        self.close()

    def _new(self, host: Host, key: Key) -> Pool:
        breaker = self.breaker_of(host, key.high)
        monitor = self._monitor(host) if self._monitor is not None else None
        common = Common(
            host, self.config, self._stats, breaker, self._hosts, self._numbers, monitor, self._fast_failure
        )

        def http1() -> Http1Pool:
            tls = self._sockets.towards(host, key.transport, HTTP1)
            if self.config.preconnect_ratio > 1.0:
                return PreconnectingHttp1Pool(common, tls, self._codecs.http1, self._background, self._cluster)
            return Http1Pool(common, tls, self._codecs.http1)

        def http2(applications: tuple[str, ...]) -> Http2Pool:
            tls = self._sockets.towards(host, key.transport, applications)
            return Http2Pool(common, tls, self._codecs.http2, self._background, self._cluster)

        if key.tcp:
            return TcpPool(common, self._sockets.towards(host, key.transport))
        if self.config.protocol == "alpn":
            return AlpnPool(common, http1(), http2(HTTP2 + HTTP1))
        return http2(HTTP2) if key.multiplexed else http1()

    def _make_room(self) -> None:
        """Clients may name as many hosts as they like: beyond a number of names, the oldest one that is not in use
        goes. Those that are in use are as many as the breakers let run.
        """
        named = [key for key in self._pools if key.transport is not None and key.transport.owner is None]
        if len(named) >= MAX_NAMED_POOLS:
            unused = next((key for key in named if self._pools[key].unused), None)
            if unused is not None:
                self._retire(unused)

    def _claim(self, key: Key) -> bool:
        """Claim a pool, if they are counted. Where there may be no more, one of the same host and priority that is not
        in use goes, as in Envoy, and so do those without a connection.
        """
        breaker = self._breakers[key.high]
        if not breaker.counts_pools or breaker.claim_pool():
            return True
        self._retire_empty()
        alike = (other for other in self._pools if other.host == key.host and other.high == key.high)
        unused = next((other for other in alike if self._pools[other].unused), None)
        if unused is not None:
            self._retire(unused)
            self._forget_drained()
        return breaker.claim_pool()

    def _retire_empty(self) -> None:
        for key in [key for key, pool in self._pools.items() if pool.empty]:
            self._retire(key)
        self._forget_drained()

    def _retire(self, key: Key) -> None:
        pool = self._pools.pop(key)
        pool.drain()
        self._draining.append((key.high, pool))

    def _forget_drained(self) -> None:
        kept = []
        for high, pool in self._draining:
            if not pool.empty:
                kept.append((high, pool))
            elif self._breakers[high].counts_pools:
                self._breakers[high].release_pool()
        self._draining = kept
