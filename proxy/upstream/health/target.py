"""One host as health checks see it: where it is checked, by which name, and connections that count nowhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from msgspec.structs import replace

from proxy.config.cluster import CircuitBreaker as Limits
from proxy.config.cluster import Cluster as ClusterConfig
from proxy.config.cluster import Host
from proxy.config.common import Address, SocketAddress
from proxy.config.header_mutation import Mutation
from proxy.config.health_check import GrpcCheck, HealthCheck, HttpCheck, TcpCheck
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.upstream.background import Background
from proxy.upstream.circuit_breaker import CircuitBreaker
from proxy.upstream.codecs import Codecs
from proxy.upstream.health.stats import HealthCheckStats, Silent
from proxy.upstream.http1_pool import Http1Pool
from proxy.upstream.http2_pool import Http2Pool
from proxy.upstream.pool import Common, Pool
from proxy.upstream.socket_matches import NAMESPACE
from proxy.upstream.stats import ClusterStats, Outcomes
from proxy.upstream.tables import MemoryTable

if TYPE_CHECKING:
    from proxy.upstream.announced import Manner
    from proxy.upstream.transport_sockets import TransportSockets

USER_AGENT: Final = b"Envoy/HC"

NO_LIMIT: Final = 2**31

EditHeaders = Callable[[Headers, StreamInfo], None]
CompileMutations = Callable[[tuple[Mutation, ...]], EditHeaders | None]
"""Header mutations may hold command operators, which stand on a higher floor: whoever builds a server passes this."""

Kind = TypeVar("Kind", HttpCheck, TcpCheck, GrpcCheck)


class Means:
    """What all checks of one cluster share. `edit` makes the mutations of its requests, `counts` nobody sees."""

    def __init__(
        self,
        config: ClusterConfig,
        check: HealthCheck,
        sockets: TransportSockets,
        background: Background,
        stats: HealthCheckStats,
        codecs: Codecs,
        edit: EditHeaders | None,
    ) -> None:
        self.check = check
        self.sockets = sockets
        self.background = background
        self.stats = stats
        self.codecs = codecs
        self.edit = edit
        self.counts = ClusterStats(Silent(), config.stat_name)
        self.outcomes: Outcomes = self.counts.outcomes(internal=False)
        self.config = replace(
            config,
            connect_timeout=inf,  # the check's own timeout is all that counts
            idle_timeout=0.0,
            max_requests_per_connection=0,
            max_connection_duration=0.0,
            preconnect_ratio=1.0,
        )


class Target(Generic[Kind]):
    """`host` has the address that is checked, and the metadata by which its transport socket is chosen."""

    def __init__(self, means: Means, host: Host) -> None:
        check = means.check
        metadata = ((NAMESPACE, check.socket_match),) if check.socket_match else host.metadata
        self.host = replace(host, address=checked_address(host), metadata=metadata, additional=())
        self.authority = _authority(means, host)
        self.timeout = check.timeout
        self.reuses = check.reuse_connection
        self.stats = means.stats
        self.config, self.counts, self.outcomes = means.config, means.counts, means.outcomes
        self._means = means

    @property
    def kind(self) -> Kind:
        """How it is checked."""
        kind: Kind = self._means.check.kind  # type: ignore[assignment]
        return kind

    @property
    def scheme(self) -> bytes:
        return b"http" if self.tls() is None else b"https"

    def tls(self) -> Manner | None:
        """How the host is spoken to; None for plain TCP."""
        peer = self._means.sockets.towards(self.host)
        alpn = self._means.check.alpn
        return peer.offering(alpn) if peer is not None and alpn else peer

    def edit(self, headers: Headers, info: StreamInfo) -> None:
        """Make the configured changes to a request's headers."""
        if self._means.edit is not None:
            info.upstream_host = info.upstream_tried = self.host.address
            self._means.edit(headers, info)

    def pool(self, *, http2: bool) -> Pool:
        """A pool of its own: one connection that serves one check after the other."""
        cells = MemoryTable()
        breaker = CircuitBreaker(Limits(NO_LIMIT, NO_LIMIT, NO_LIMIT), cells, 0, self.counts)
        common = Common(self.host, self.config, self.counts, breaker, cells, itertools.count(1))
        codecs = self._means.codecs
        if http2:
            return Http2Pool(common, self.tls(), codecs.http2, self._means.background, object)
        return Http1Pool(common, self.tls(), codecs.http1)


def checked_address(host: Host) -> Address:
    """Where a host is checked (`HostDescriptionImpl::healthCheckAddress`)."""
    check = host.check
    if check is None:
        return host.address
    address = check.address or host.address
    if check.port and isinstance(address, SocketAddress):
        return SocketAddress(address.host, check.port)
    return address


def _authority(means: Means, host: Host) -> bytes:
    """The name that the host is asked for (`HealthCheckerFactory::getHostname`)."""
    kind, own = means.check.kind, host.check.hostname if host.check is not None else ""
    named = kind.host if isinstance(kind, HttpCheck) else kind.authority if isinstance(kind, GrpcCheck) else ""
    return (own or named or means.config.name).encode()
