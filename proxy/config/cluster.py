"""Compiled clusters and their endpoints (`config.cluster.v3`, `config.endpoint.v3`). Data only."""

from __future__ import annotations

from typing import Literal

import msgspec

from proxy.config.common import Address, SocketAddress
from proxy.config.dns import MACHINE, DnsResolver, LookupFamily
from proxy.config.dns_cache import DnsCache
from proxy.config.health_check import EndpointCheck, HealthCheck
from proxy.config.http1 import UpstreamHttp1Options
from proxy.config.http2 import Http2Options
from proxy.config.lb import LoadBalancing
from proxy.config.lb_subsets import Labels, LbSubsets
from proxy.config.original_dst import OriginalDst
from proxy.config.outlier import OutlierDetection
from proxy.config.tls import UpstreamTls
from proxy.config.upstream_socket import HappyEyeballs, UpstreamSocket

HealthStatus = Literal["HEALTHY", "DEGRADED", "UNHEALTHY", "DRAINING", "TIMEOUT"]
"""`config.core.v3.HealthStatus`; UNKNOWN is HEALTHY, as in Envoy."""

ClusterType = Literal["STATIC", "STRICT_DNS", "LOGICAL_DNS", "ORIGINAL_DST", "AGGREGATE", "DYNAMIC_FORWARD_PROXY"]
"""`Cluster.DiscoveryType`, and the extensions that are clusters of another kind (`Cluster.cluster_type`)."""

OVERPROVISIONING = 140
"""`ClusterLoadAssignment.Policy.overprovisioning_factor` in percent, by default."""

HostMetadata = tuple[tuple[str, str], ...]
"""`config.core.v3.Metadata.filter_metadata`: name → its Struct as JSON with sorted keys, so that it can be hashed."""


class Host(msgspec.Struct, frozen=True, gc=False):
    """One upstream host with a resolved address.

    `slot` is its row in the shared hosts table (assigned by the controller; reused only after every worker has
    acknowledged endpoints without it). `hostname` is the DNS name or `Endpoint.hostname`, else "". `metadata` and
    `health_status` are those of the `LbEndpoint`. `additional` are other addresses of the same host: whichever answers
    first is connected to (`upstream/happy_eyeballs.py`). `check` is how its health check differs from the
    cluster's. `leaving`: discovery has it no more, but it is well, so it stays until it fails.
    """

    slot: int
    address: Address
    hostname: str = ""
    weight: int = 1
    metadata: HostMetadata = ()
    health_status: HealthStatus = "HEALTHY"
    additional: tuple[SocketAddress, ...] = ()
    check: EndpointCheck | None = None
    leaving: bool = False


class LocalityHosts(msgspec.Struct, frozen=True):
    """`config.endpoint.v3.LocalityLbEndpoints` after resolution."""

    priority: int
    hosts: tuple[Host, ...]
    region: str = ""
    zone: str = ""
    sub_zone: str = ""
    weight: int = 0


class ClusterEndpoints(msgspec.Struct, frozen=True):
    """The hosts of one cluster at one moment. `version` grows with every change of this cluster.

    `slot` is the cluster's row in the shared clusters table, which is its name's for as long as the name is configured.
    """

    cluster: str
    version: int
    localities: tuple[LocalityHosts, ...]
    slot: int = 0
    overprovisioning_factor: int = OVERPROVISIONING
    weighted_priority_health: bool = False


class Endpoints(msgspec.Struct, frozen=True):
    """The hosts of all clusters; what the controller publishes (as a sealed memfd) when discovery changes something."""

    version: int
    clusters: dict[str, ClusterEndpoints]


class DnsEndpoint(msgspec.Struct, frozen=True, gc=False):
    """One name to resolve for a STRICT_DNS or LOGICAL_DNS cluster. `name` may be a numeric address."""

    name: str
    port: int
    hostname: str = ""
    weight: int = 1
    metadata: HostMetadata = ()
    health_status: HealthStatus = "HEALTHY"
    check: EndpointCheck | None = None


class DnsLocality(msgspec.Struct, frozen=True):
    """A `LocalityLbEndpoints` whose endpoints are still names."""

    priority: int
    endpoints: tuple[DnsEndpoint, ...]
    region: str = ""
    zone: str = ""
    sub_zone: str = ""
    weight: int = 0


class Dns(msgspec.Struct, frozen=True):
    """How to discover the hosts of a DNS cluster. Durations in seconds, Envoy's defaults.

    A successful lookup is repeated up to `jitter` later than it would be. `warms`: nothing begins before the first
    answer has come.
    """

    localities: tuple[DnsLocality, ...]
    lookup_family: LookupFamily = "AUTO"
    refresh_rate: float = 5.0
    failure_refresh_base: float = 5.0
    failure_refresh_max: float = 5.0
    respect_ttl: bool = False
    jitter: float = 0.0
    resolver: DnsResolver = MACHINE
    warms: bool = True


class RequestNames(msgspec.Struct, frozen=True, gc=False):
    """`UpstreamHttpProtocolOptions`: what the name of a request's host is for: `sni` (`auto_sni`) and `sans`
    (`auto_san_validation`). `header` holds the name instead of the authority, where a request has it.
    """

    sni: bool = False
    sans: bool = False
    header: bytes = b""


class SocketMatch(msgspec.Struct, frozen=True):
    """`Cluster.TransportSocketMatch`: hosts whose metadata has all `labels` are spoken to by `tls`, None: plain TCP.
    `proxy_protocol` as that of `Cluster`.
    """

    name: str
    labels: Labels
    tls: UpstreamTls | None = None
    proxy_protocol: Literal["", "V1", "V2"] = ""


class RetryBudget(msgspec.Struct, frozen=True, gc=False):
    """`Thresholds.RetryBudget`: how many retries there may be, in percent of the requests that wait or run; `least` may
    always be.
    """

    percent: float = 20.0
    least: int = 3


class CircuitBreaker(msgspec.Struct, frozen=True, gc=False):
    """Limits of one priority over all workers (`CircuitBreakers.Thresholds`); Envoy's defaults. `track_remaining`:
    gauges tell what is left. `retry_budget` stands for `max_retries`; `max_connection_pools` and
    `max_connections_per_host` (of `per_host_thresholds`) may be None, for no limit.
    """

    max_connections: int = 1024
    max_pending_requests: int = 1024
    max_requests: int = 1024
    max_retries: int = 3
    track_remaining: bool = False
    retry_budget: RetryBudget | None = None
    max_connection_pools: int | None = None
    max_connections_per_host: int | None = None


class Cluster(msgspec.Struct, frozen=True):
    """One cluster. Durations in seconds.

    `alt_stat_name` is what stats use: `cluster.<alt_stat_name or name>.*`. `dns` is set for the DNS types alone;
    the hosts of every type travel in `Endpoints`; an AGGREGATE has those of its `members`. `protocol` is what its hosts
    speak; "downstream": whatever the client speaks; "alpn": what they choose in TLS. Without `subsets` nobody asks what
    requests want of a host.
    `proxy_protocol`: its hosts hear first whose connection it is, in a header of this version.
    """

    name: str
    type: ClusterType
    alt_stat_name: str = ""
    lb: LoadBalancing = LoadBalancing()
    connect_timeout: float = 5.0
    per_connection_buffer_limit_bytes: int = 1024 * 1024
    idle_timeout: float = 3600.0
    max_requests_per_connection: int = 0
    max_connection_duration: float = 0.0
    max_stream_duration: float = 0.0
    max_response_headers_kb: int = 60
    max_response_headers_count: int = 100
    protocol: Literal["http1", "http2", "downstream", "alpn"] = "http1"
    http1: UpstreamHttp1Options = UpstreamHttp1Options()
    http2: Http2Options = Http2Options()
    breaker: CircuitBreaker = CircuitBreaker()
    high_breaker: CircuitBreaker = CircuitBreaker()
    dns: Dns | None = None
    original_dst: OriginalDst | None = None
    members: tuple[str, ...] = ()
    dns_cache: DnsCache | None = None
    outlier: OutlierDetection | None = None
    subsets: LbSubsets | None = None
    tls: UpstreamTls | None = None
    proxy_protocol: Literal["", "V1", "V2"] = ""
    socket_matches: tuple[SocketMatch, ...] = ()
    request_names: RequestNames | None = None
    socket: UpstreamSocket | None = None
    happy_eyeballs: HappyEyeballs = HappyEyeballs()
    pool_per_downstream_connection: bool = False
    preconnect_ratio: float = 1.0
    health_check: HealthCheck | None = None
    close_connections_on_host_health_failure: bool = False
    ignore_health_on_host_removal: bool = False
    ignore_new_hosts_until_first_hc: bool = False

    @property
    def stat_name(self) -> str:
        """The name in stats, `:` replaced as in Envoy."""
        return (self.alt_stat_name or self.name).replace(":", "_")


def encode_endpoints(endpoints: Endpoints) -> bytes:
    """`endpoints` as MessagePack."""
    return msgspec.msgpack.encode(endpoints)


def decode_endpoints(data: bytes) -> Endpoints:
    """The inverse of `encode_endpoints`; raises `msgspec.ValidationError` on anything else."""
    return msgspec.msgpack.decode(data, type=Endpoints)
