"""One upstream cluster in one worker: its hosts, its balancer, and a pool for each host."""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING

import trio

from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.cluster import ClusterEndpoints, Host
from proxy.config.lb_subsets import Labels
from proxy.errors import ProxyError
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo, UpstreamConnection
from proxy.limits import MAX_NAMED_POOLS
from proxy.stats import Stats
from proxy.upstream import failures
from proxy.upstream.alpn_pool import AlpnPool
from proxy.upstream.background import Background
from proxy.upstream.balancer import Balancer
from proxy.upstream.circuit_breaker import CircuitBreaker
from proxy.upstream.codecs import Codecs
from proxy.upstream.connect import agreed
from proxy.upstream.host_set import HostSet
from proxy.upstream.http1_pool import Http1Pool
from proxy.upstream.http1_preconnect import PreconnectingHttp1Pool
from proxy.upstream.http2_pool import Http2Pool
from proxy.upstream.judge import Judge
from proxy.upstream.lb import Surroundings
from proxy.upstream.observed import Hidden, Together
from proxy.upstream.pool import Common, Pool
from proxy.upstream.stats import ClusterStats, Outcomes
from proxy.upstream.stream import UpstreamStream
from proxy.upstream.subsets import Subsets
from proxy.upstream.tables import HostColumn, Table, Tables
from proxy.upstream.tcp import TcpConnection
from proxy.upstream.transport_options import TransportOptions, of_request
from proxy.upstream.transport_sockets import HTTP1, HTTP2, TransportSockets

if TYPE_CHECKING:
    from proxy.net.connection import Connection as DownstreamConnection


class Cluster:
    """Opens streams to the hosts of `config`, for as long as that stays the same; endpoints change while it lives.

    `numbers` are for connections (`%UPSTREAM_CONNECTION_ID%`), `background` runs those of HTTP/2. A pool belongs to a
    host's identity (slot, address, hostname, transport socket): it survives a change of weight or locality. Requests of
    high priority (`high`) have pools, and limits, of their own.
    """

    def __init__(
        self,
        config: ClusterConfig,
        endpoints: ClusterEndpoints | None,
        stats: Stats,
        tables: Tables,
        *,
        seed: int,
        numbers: Iterator[int] | None = None,
        background: Background | None = None,
    ) -> None:
        self.config = config
        self._numbers = numbers or itertools.count(1)
        self._background = background or Background()
        self.stats = ClusterStats(stats, config.stat_name)
        self.hidden = Hidden(stats, f"cluster.{config.stat_name}.")
        self._hosts = tables.hosts
        slot = endpoints.slot if endpoints is not None else 0
        self.breaker = CircuitBreaker(config.breaker, tables.clusters, slot, self.stats)
        self.high_breaker = CircuitBreaker(config.high_breaker, tables.clusters, slot, self.stats, high=True)
        surroundings = Surroundings(config.lb, seed, Random(seed), functools.partial(_active_requests, tables.hosts))
        self._balancer = Balancer(surroundings, self.stats.lb_healthy_panic.inc)
        self._subsets: Subsets | None = None
        if config.subsets is not None:
            make = functools.partial(Balancer, surroundings, self.stats.lb_healthy_panic.inc)
            self._subsets = Subsets(config.subsets, make, stats, self.stats, config.stat_name)
        self._pools: dict[tuple[object, bool, TransportOptions | None, bool], Pool] = {}  # the last: speaks HTTP/2
        self._draining: list[Pool] = []
        self._retired = False
        self._tcp: set[TcpConnection] = set()
        self._identities: set[object] = set()
        self._codecs = Codecs(config, stats)
        self._sockets = TransportSockets(config, stats)
        self._endpoints: ClusterEndpoints | None = None
        self.update_endpoints(endpoints)

    def outcomes(self, *, internal: bool) -> Outcomes:
        """What responses count in; see `ClusterStats.outcomes`."""
        return self.stats.outcomes(internal=internal)

    def outcomes_of(self, info: StreamInfo | None) -> Outcomes:
        """What responses to the request of `info` count in."""
        outcomes = self.stats.outcomes(internal=info is not None and info.internal)
        return Together((outcomes, *info.observed)) if info is not None and info.observed else outcomes

    def transport_options(
        self, request: Request, client: DownstreamConnection | None = None
    ) -> TransportOptions | None:
        """What `request` of `client`, as it comes to the router, asks of its connection; None in most clusters."""
        names, owner = self.config.request_names, client if self.config.pool_per_downstream_connection else None
        return None if names is None and owner is None else of_request(names, request, owner)

    def pick(
        self,
        labels: Labels = (),
        *,
        high: bool = False,
        transport: TransportOptions | None = None,
        http2: bool = False,
    ) -> Pool | None:
        """The pool of the balancer's next host for a request for hosts of `labels`, with the connections that
        `transport` asks for; None if none is healthy. `http2`, here and below: its client speaks HTTP/2.
        """
        balancer = self._balancer if self._subsets is None else self._subsets.choose(labels)
        host = balancer.pick()
        return None if host is None else self._pool(host, high, transport, http2)

    async def open_stream(
        self,
        info: StreamInfo | None = None,
        pool: Pool | None = None,
        judge: Judge | None = None,
        *,
        labels: Labels = (),
        high: bool = False,
        transport: TransportOptions | None = None,
        http2: bool = False,
        outcomes: Outcomes | None = None,
    ) -> UpstreamStream:
        """A stream to the next host of the balancer for `labels`, or to that of `pool`, which was picked already. What
        comes of it counts among `outcomes`, by default those of the cluster.

        Raises `ProxyError` (UH, UF, UO; features §13 rule 28).

        `info` learns the host before it is tried, so that a failure can name it.

        The local reply that follows from an error is already counted among the cluster's responses, unless `judge`
        wants another attempt.
        """
        outcomes = outcomes or self.outcomes_of(info)
        pool = pool or self.pick(labels, high=high, transport=transport, http2=http2)
        if pool is None:
            self._charge_none_healthy(labels)
            error = failures.no_healthy_upstream()
            outcomes.charge(error.status)
            raise error
        if info is not None:
            info.upstream_tried, info.upstream_hostname = pool.host.address, pool.host.hostname
        try:
            stream = await pool.open(outcomes, judge)
        except ProxyError as error:
            if judge is None or not judge.reset(error, request_started=False):
                outcomes.charge(error.status)
            pool.count(HostColumn.RQ_ERROR)
            raise
        finally:
            if info is not None:
                info.pool_ready = trio.current_time()
        if info is not None:
            info.upstream_connection = stream.identity
        return stream

    def pick_another(
        self,
        rejects: Callable[[Host], bool],
        attempts: int,
        *,
        labels: Labels = (),
        high: bool = False,
        transport: TransportOptions | None = None,
        http2: bool = False,
    ) -> Pool | None:
        """The pool of the next host for `labels` that is not rejected; after `attempts` more picks whichever comes."""
        balancer = self._balancer if self._subsets is None else self._subsets.choose(labels)
        host = balancer.pick()
        while host is not None and attempts and rejects(host):
            host = balancer.pick()
            attempts -= 1
        return None if host is None else self._pool(host, high, transport, http2)

    async def open_connection(
        self,
        info: StreamInfo,
        *,
        labels: Labels = (),
        high: bool = False,
        transport: TransportOptions | None = None,
    ) -> TcpConnection:
        """A connection of its own to the next host of the balancer for `labels`; the caller closes it.

        Raises `ProxyError`: UO at the limit of connections (none waits for a free one), UH, UF. `info` learns the host.
        """
        breaker = self.high_breaker if high else self.breaker
        if not breaker.claim_connection(force=False):
            raise failures.reset("overflow")
        balancer = self._balancer if self._subsets is None else self._subsets.choose(labels)
        host = balancer.pick()
        if host is None:
            breaker.release_connection()
            self._charge_none_healthy(labels)
            raise failures.no_healthy_upstream()
        info.upstream_host = info.upstream_tried = host.address
        info.upstream_hostname = host.hostname
        tls = self._sockets.towards(host, transport)
        connection = TcpConnection(host, self.config, self.stats, breaker, self._hosts, self._tcp.discard, tls)
        self._tcp.add(connection)
        began = trio.current_time()
        try:
            await connection.open()
        finally:
            info.pool_ready = trio.current_time()
        tls_session = agreed(connection.sock)
        info.upstream_connection = UpstreamConnection(next(self._numbers), began, info.pool_ready, "", tls_session)
        return connection

    def charge_attempts_exceeded(self) -> None:
        """A TCP connection's last attempt to reach a host of this cluster failed."""
        self.stats.cx_connect_attempts_exceeded.inc()

    def charge_timeout(self, stream: UpstreamStream | None, info: StreamInfo, status: int = 504) -> None:
        """The route's timeout ended a request of this cluster, that of `info`, which is answered with `status`.
        `stream` is None if none was open yet.
        """
        self.stats.rq_timeout.inc()
        for observed in info.observed:
            observed.rq_timeout.inc()
        if stream is not None:
            stream.charge_timeout(status)
        else:
            self.outcomes_of(info).charge(status)

    def update_endpoints(self, endpoints: ClusterEndpoints | None) -> None:
        """Balance over `endpoints` from now on. Pools of hosts that left close their idle connections now.

        Endpoints of all clusters are published together, so most calls change nothing and leave the rotation alone.
        """
        if endpoints == self._endpoints:
            return
        self._endpoints = endpoints
        hosts = HostSet.of(endpoints)
        self._balancer.update(hosts)
        if self._subsets is not None:
            self._subsets.update(hosts)
        kept = self._identities = {self._identity(host) for host in hosts.hosts}
        for key in [key for key in self._pools if key[0] not in kept]:
            self._retire(self._pools.pop(key))

    @property
    def draining(self) -> bool:
        """Whether a request or a TCP connection still runs to a host that has left."""
        if any(not pool.empty for pool in self._draining):
            return True
        return any(self._identity(connection.host) not in self._identities for connection in self._tcp)

    def reap(self, now: float) -> None:
        """Close idle connections that are of no more use; forget drained pools, and those of names and of clients that
        nobody asks for any more.
        """
        for pool in self._pools.values():
            pool.reap(now)
        asked = [(key, key[2], pool) for key, pool in self._pools.items() if key[2] is not None]
        for key, options, pool in asked:
            if pool.empty or options.orphaned:
                self._retire(self._pools.pop(key))
        self._draining = [pool for pool in self._draining if not pool.empty]

    def close(self) -> None:
        """Close every idle connection, and the busy ones as soon as their request ends."""
        while self._pools:
            self._retire(self._pools.popitem()[1])

    def renew(self, config: ClusterConfig) -> Callable[[], None]:
        """Get ready for a `config` that differs in secrets alone; what is returned puts it into effect. Connections
        that are open go on.
        """
        renew_sockets = self._sockets.renew(config)

        def commit() -> None:
            self.config = config
            renew_sockets()

        return commit

    def begin(self) -> None:
        """The cluster has its name from now on: until then nobody asks it, and its subsets do not count."""
        if self._subsets is not None:
            self._subsets.begin()

    def retire(self) -> None:
        """Another cluster has taken the name, or none. What knows this one may finish; no connection is used again."""
        self._retired = True
        if self._subsets is not None:
            self._subsets.end()
        self.close()

    def _charge_none_healthy(self, labels: Labels) -> None:
        in_vain = int(self._balancer.in_panic) if self._subsets is None else self._subsets.in_vain(labels)
        self.stats.lb_healthy_panic.inc(in_vain)
        self.stats.cx_none_healthy.inc()

    def _pool(self, host: Host, high: bool, transport: TransportOptions | None, http2: bool) -> Pool:
        protocol = self.config.protocol
        multiplexed = protocol == "http2" or (protocol == "downstream" and http2)
        key = self._identity(host), high, transport, multiplexed
        pool = self._pools.get(key)
        if pool is None:
            if transport is not None and transport.owner is None:
                self._make_room()
            pool = self._pools[key] = self._new_pool(host, high, transport, multiplexed)
            if self._retired:
                pool.drain()
        return pool

    def _new_pool(self, host: Host, high: bool, transport: TransportOptions | None, multiplexed: bool) -> Pool:
        breaker = self.high_breaker if high else self.breaker
        common = Common(host, self.config, self.stats, breaker, self._hosts, self._numbers)

        def http1() -> Http1Pool:
            tls = self._sockets.towards(host, transport, HTTP1)
            if self.config.preconnect_ratio > 1.0:
                return PreconnectingHttp1Pool(common, tls, self._codecs.http1, self._background)
            return Http1Pool(common, tls, self._codecs.http1)

        def http2(applications: tuple[str, ...]) -> Http2Pool:
            tls = self._sockets.towards(host, transport, applications)
            return Http2Pool(common, tls, self._codecs.http2, self._background, weakref.ref(self))

        if self.config.protocol == "alpn":
            return AlpnPool(common, http1(), http2(HTTP2 + HTTP1))
        return http2(HTTP2) if multiplexed else http1()

    def _make_room(self) -> None:
        """Clients may name as many hosts as they like: beyond a number of names, the oldest one that is not in use
        goes. Those that are in use are as many as the breakers let run.
        """
        named = [key for key in self._pools if key[2] is not None and key[2].owner is None]
        if len(named) >= MAX_NAMED_POOLS:
            unused = next((key for key in named if self._pools[key].unused), None)
            if unused is not None:
                self._retire(self._pools.pop(unused))

    def _identity(self, host: Host) -> object:
        """What is another host, as far as connections go. A host of another match has connections of its own."""
        return (host.slot, host.address, host.hostname, self._sockets.place(host) if self.config.socket_matches else -1)

    def _retire(self, pool: Pool) -> None:
        pool.drain()
        self._draining.append(pool)


def _active_requests(hosts: Table, host: Host) -> int:
    """Over all workers."""
    return hosts.total(host.slot, HostColumn.RQ_ACTIVE)
