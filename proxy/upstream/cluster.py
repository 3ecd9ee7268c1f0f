"""One upstream cluster in one worker: its hosts, its balancer, and a pool for each host."""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable, Iterator

import trio

from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.cluster import ClusterEndpoints, Host
from proxy.errors import ProxyError
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo, UpstreamConnection
from proxy.net.peer import address_of
from proxy.route.hash_policy import RequestHash
from proxy.stats import Stats
from proxy.upstream import failures
from proxy.upstream.background import Background
from proxy.upstream.circuit_breaker import CircuitBreaker, active_requests
from proxy.upstream.cluster_balancer import ClusterBalancer, HostsOf, PicksHosts, nobody
from proxy.upstream.codecs import Codecs
from proxy.upstream.connect import agreed
from proxy.upstream.health.fast_failure import FastFailure
from proxy.upstream.health.stats import HealthCheckStats
from proxy.upstream.host_failures import HostFailures
from proxy.upstream.host_set import HostSet
from proxy.upstream.host_status import HostStatus
from proxy.upstream.judge import Judge
from proxy.upstream.load_balancer_context import ANYBODY, LoadBalancerContext
from proxy.upstream.observed import NOBODY, Hidden, Together
from proxy.upstream.outlier.detector import OpenLog, detector_of
from proxy.upstream.override_host import OverrideHost
from proxy.upstream.owners import Owners
from proxy.upstream.pool import Pool
from proxy.upstream.pools import Pools
from proxy.upstream.previous_priorities import PreviousPriorities
from proxy.upstream.stats import ClusterStats, Outcomes
from proxy.upstream.stream import UpstreamStream
from proxy.upstream.tables import Tables
from proxy.upstream.tcp import TcpConnection
from proxy.upstream.transport_options import TransportOptions, of_request
from proxy.upstream.transport_sockets import TransportSockets


class Cluster:
    """Opens streams to the hosts of `config`, for as long as that stays the same; endpoints change while it lives.

    `numbers` are for connections (`%UPSTREAM_CONNECTION_ID%`), `background` runs those of HTTP/2. Requests of high
    priority (`high`) have limits of their own. `retired` is set once another one has its name, or none. `status` is how
    its hosts are: who changes that calls `follow_status`. `owners` says which clusters this worker looks after for all;
    `open_log` opens logs of events. `hosts_of` knows the hosts of other clusters.
    """

    cluster_of: Callable[[str], Cluster | None] = staticmethod(lambda name: None)
    """Other clusters, by name."""

    picks_by_request = False
    """Whether the host depends on more of a request than the express lane's plans know."""

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
        owners: Owners | None = None,
        open_log: OpenLog | None = None,
        hosts_of: HostsOf = nobody,
    ) -> None:
        self.config = config
        self._numbers = numbers or itertools.count(1)
        self.stats = ClusterStats(stats, config.stat_name)
        self.request_hash = RequestHash(config.lb.hashing.policies) if config.lb.hashing.policies else None
        self.hidden = Hidden(stats, f"cluster.{config.stat_name}.")
        self._hosts = tables.hosts
        slot = endpoints.slot if endpoints is not None else 0
        checks, excludes = config.health_check is not None, config.ignore_new_hosts_until_first_hc
        self.status = HostStatus(tables, slot, checks=checks, ejects=config.outlier is not None, excludes=excludes)
        self.outlier = detector_of(
            config, self.status, tables, slot, stats, owners, changed=self.follow_status, open_log=open_log
        )
        self._failures = HostFailures(self.status)
        self.fast_failure: FastFailure | None = None
        if config.health_check is not None:
            counts = HealthCheckStats(stats, config.stat_name)
            self.fast_failure = FastFailure(config.health_check, self.status, counts)
        self.breaker = CircuitBreaker(config.breaker, tables.clusters, slot, self.stats)
        self.high_breaker = CircuitBreaker(config.high_breaker, tables.clusters, slot, self.stats, high=True)
        self.balancer: PicksHosts = self._new_balancer(stats, tables, seed, hosts_of)
        self._background = background or Background()
        self._tcp: set[TcpConnection] = set()
        self._identities: set[object] = set()
        self.sockets = TransportSockets(config, stats)
        self.retired = trio.Event()
        self._pools = Pools(
            config,
            self.stats,
            self.breaker,
            self.high_breaker,
            self._hosts,
            self.sockets,
            Codecs(config, stats),
            self._numbers,
            self._background,
            weakref.ref(self),
            self.outlier.monitor if self.outlier is not None else None,
            self.fast_failure,
        )
        self.endpoints: ClusterEndpoints | None = None
        self.update_endpoints(endpoints)

    def _new_balancer(self, stats: Stats, tables: Tables, seed: int, hosts_of: HostsOf) -> PicksHosts:
        """Other types of clusters have one of their own (`types/`)."""
        active = functools.partial(active_requests, self.breaker, self.high_breaker)
        return ClusterBalancer(
            self.config, stats, self.stats, tables.hosts, seed=seed, hosts_of=hosts_of, active=active
        )

    def outcomes(self, *, internal: bool) -> Outcomes:
        """What responses count in; see `ClusterStats.outcomes`."""
        return self.stats.outcomes(internal=internal)

    def outcomes_of(self, info: StreamInfo | None) -> Outcomes:
        """What responses to the request of `info` count in."""
        if info is not None and info.health_check:
            return NOBODY
        outcomes = self.stats.outcomes(internal=info is not None and info.internal)
        return Together((outcomes, *info.observed)) if info is not None and info.observed else outcomes

    def transport_options(self, request: Request) -> TransportOptions | None:
        """What `request`, as it comes to the router, asks of its connection; None in most clusters."""
        names = self.config.request_names
        return None if names is None else of_request(names, request)

    def pick(self, context: LoadBalancerContext = ANYBODY) -> Pool | None:
        """The pool of the balancer's next host for the request of `context`; None if none is healthy, or if there may
        be no more pools.
        """
        host = self.balancer.choose(context).pick(context.number)
        if host is None:
            self._pools.refused = False
            return None
        return self._pools.get(host, context)

    async def open_stream(
        self,
        info: StreamInfo | None = None,
        pool: Pool | None = None,
        judge: Judge | None = None,
        *,
        context: LoadBalancerContext = ANYBODY,
        outcomes: Outcomes | None = None,
    ) -> UpstreamStream:
        """A stream to the balancer's next host for `context`, or to that of `pool`, which was picked already. What
        comes of it counts among `outcomes`, by default those of the cluster.

        Raises `ProxyError` (UH, UF, UO; features §13 rule 28).

        `info` learns the host before it is tried, so that a failure can name it.

        The local reply that follows from an error is already counted among the cluster's responses, unless `judge`
        wants another attempt.
        """
        outcomes = outcomes or self.outcomes_of(info)
        pool = pool or self.pick(context)
        if pool is None:
            if self._pools.refused:
                self.stats.cx_pool_overflow.inc()
            else:
                self.balancer.charge_none_healthy(context.labels)
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
            pool.charge_unopened(error)
            raise
        finally:
            if info is not None:
                info.pool_ready = trio.current_time()
        if pool.monitor is not None:
            pool.monitor.connected()
        if info is not None:
            info.upstream_connection = stream.identity
        return stream

    def pick_wanted(
        self, wanted: OverrideHost, context: LoadBalancerContext, info: StreamInfo | None = None
    ) -> Pool | None:
        """The pool of that host; None if it is not to be had and any will do. Raises `ProxyError` (UH) if not."""
        host = self.balancer.hosts.by_address.get(wanted.address)
        if host is not None and self.status.reported(host) in self.config.lb.override_status:
            return self._pools.get(host, context)
        if not wanted.strict:
            return None
        self.stats.cx_none_healthy.inc()
        error = failures.no_healthy_upstream()
        self.outcomes_of(info).charge(error.status)
        raise error

    def pick_another(
        self,
        rejects: Callable[[Host], bool],
        attempts: int,
        context: LoadBalancerContext = ANYBODY,
        priorities: PreviousPriorities | None = None,
    ) -> Pool | None:
        """The pool of the next host for `context` that is not rejected; after `attempts` more picks whichever comes.
        `priorities` are those that have been tried, if anybody asks.
        """
        balancer = self.balancer.choose(context)
        if priorities is not None:
            balancer = priorities.without_them(balancer)
        host = balancer.pick(context.number)
        for attempt in range(1, attempts + 1):
            if host is None or not rejects(host):
                break
            host = balancer.pick(context.number, attempt)
        return None if host is None else self._pools.get(host, context)

    async def open_connection(self, info: StreamInfo, context: LoadBalancerContext = ANYBODY) -> TcpConnection:
        """A connection of its own to the balancer's next host for `context`; the caller closes it.

        Raises `ProxyError`: UO at a limit of connections (none waits for a free one), UH, UF. `info` learns the host.
        """
        breaker = self.high_breaker if context.high else self.breaker
        if not breaker.claim_connection(force=False):
            raise failures.reset("overflow")
        host = self.balancer.choose(context).pick(context.number)
        if host is None:
            breaker.release_connection()
            self.balancer.charge_none_healthy(context.labels)
            raise failures.no_healthy_upstream()
        breaker = self._pools.breaker_of(host, context.high)
        if not breaker.claim_of_host():
            (self.high_breaker if context.high else self.breaker).release_connection()
            raise failures.reset("overflow")
        info.upstream_host = info.upstream_tried = host.address
        info.upstream_hostname = host.hostname
        tls = self.sockets.towards(host, context.asked(own=self.config.pool_per_downstream_connection))
        monitor = self.outlier.monitor(host) if self.outlier is not None else None
        connection = TcpConnection(host, self.config, self.stats, breaker, self._hosts, self._tcp.discard, tls, monitor)
        self._tcp.add(connection)
        began = trio.current_time()
        try:
            await connection.open()
        finally:
            info.pool_ready = trio.current_time()
        info.upstream_local = address_of(connection.sock, peer=False)
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

        Where those of all clusters are published together, most calls change nothing and leave the rotation alone.
        """
        if endpoints == self.endpoints:
            return
        self.endpoints = endpoints
        hosts = self._balance()
        if self.outlier is not None:
            self.outlier.update(hosts.hosts)
        self._identities = set(map(self._pools.identity, hosts.hosts))
        self._pools.keep(self._identities)

    @property
    def endpoints_version(self) -> int:
        """That of the endpoints in use; 0 if there are none."""
        return 0 if self.endpoints is None else self.endpoints.version

    def follow_status(self) -> None:
        """Balance by how hosts are now, if somebody has found out anything about them."""
        if not self.status.changed():
            return
        for host in self._failures.update(self._balance().hosts):
            self._pools.let_go(host)
            if self.config.close_connections_on_host_health_failure:
                for connection in [each for each in self._tcp if each.host == host]:
                    connection.abandon()

    def _balance(self) -> HostSet:
        hosts = HostSet.of(self.endpoints, self.status.health)
        self.balancer.update(hosts)
        return hosts

    @property
    def draining(self) -> bool:
        """Whether a request or a TCP connection still runs to a host that has left."""
        identity, known = self._pools.identity, self._identities
        return self._pools.draining or any(identity(connection.host) not in known for connection in self._tcp)

    def reap(self, now: float) -> None:
        """Close connections, and forget pools, that are of no more use."""
        self._pools.reap(now)

    def close(self) -> None:
        """Close every idle connection, and the busy ones as soon as their request ends."""
        self._pools.close()

    def renew(self, config: ClusterConfig) -> Callable[[], None]:
        """Get ready for a `config` that differs in secrets alone; what is returned puts it into effect. Connections
        that are open go on.
        """
        renew_sockets = self.sockets.renew(config)

        def commit() -> None:
            self.config = self._pools.config = config
            renew_sockets()

        return commit

    def begin(self) -> None:
        """The cluster has its name from now on: until then nobody asks it, and its subsets do not count."""
        self.balancer.begin()

    def retire(self) -> None:
        """Another cluster has taken the name, or none. What knows this one may finish; no connection is used again."""
        self.balancer.end()
        if self.outlier is not None:
            self.outlier.close()
        self._pools.retire()
        self.retired.set()
