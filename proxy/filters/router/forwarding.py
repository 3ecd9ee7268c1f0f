"""What all attempts of one exchange have in common."""

from __future__ import annotations

from collections.abc import Callable

import trio

from proxy.config.forwarding import Forwarding as Options
from proxy.config.lb_subsets import Labels
from proxy.filters.http.router_headers import Terms
from proxy.filters.router.hashing import Hashed
from proxy.filters.router.upstream_log import UpstreamLogs
from proxy.http.deadlines import Phase
from proxy.http.exchange import Exchange
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from proxy.net import proxy_protocol
from proxy.net.pipe import PipePool
from proxy.route.entry import RouteEntry
from proxy.route.labels import LB, labels_of, merged
from proxy.upstream.circuit_breaker import CircuitBreaker
from proxy.upstream.cluster import Cluster
from proxy.upstream.load_balancer_context import LoadBalancerContext
from proxy.upstream.transport_options import TransportOptions


class Forwarding:
    """An exchange on its way to `cluster` on `terms`, by the route `entry`, whose `options` these are. Long bodies go
    through `pipes`.

    `complete_at` is when the client's request was complete, None before. `service_time`: the client is told how long
    the upstream took. `pipes` are for bodies that nobody looks at. `stream_duration` is how long an attempt may last,
    in seconds, 0 for ever; `limits_attempts`: an attempt has limits of its own at all. `logs` are those of attempts, if
    there are any. `context` is for the balancer; its labels are those of the route and of what filters have said of the
    request (`envoy.lb`). `cookies` were made for the client's next requests (`set-cookie`).
    `follow` says of a response whether it is a redirect that is followed here.
    """

    __slots__ = (
        "cluster",
        "complete_at",
        "context",
        "cookies",
        "entry",
        "exchange",
        "follow",
        "limits_attempts",
        "logs",
        "options",
        "pipes",
        "service_time",
        "stream_duration",
        "terms",
    )

    def __init__(
        self,
        exchange: Exchange,
        entry: RouteEntry,
        cluster: Cluster,
        terms: Terms,
        options: Options,
        pipes: PipePool,
        *,
        service_time: bool,
        transport: TransportOptions | None = None,
        hashed: Hashed = Hashed(),  # noqa: B008 (it never changes)
    ) -> None:
        self.exchange = exchange
        self.entry = entry
        self.pipes = pipes
        self.cluster = cluster
        self.terms = terms
        self.options = options
        self.service_time = service_time
        self.context = LoadBalancerContext(
            labels=_labels(entry, exchange.info),
            number=hashed.number,
            high=options.high_priority,
            transport=transport,
            http2=exchange.request.protocol == "HTTP/2",
            info=exchange.info,
            tcp=options.tcp_posts and exchange.request.method == b"POST",
        )
        self.cookies = hashed.cookies
        self.complete_at: float | None = None
        self.logs: UpstreamLogs | None = None
        self.follow: Callable[[int, Headers], bool] | None = None
        duration = terms.stream_duration
        self.stream_duration = cluster.config.max_stream_duration if duration is None else duration
        self.limits_attempts = bool(self.stream_duration or terms.per_try_timeout or terms.per_try_idle_timeout)

    @property
    def breaker(self) -> CircuitBreaker:
        """The cluster's, of the request's priority."""
        return self.cluster.high_breaker if self.context.high else self.cluster.breaker

    def greeting(self) -> bytes:
        """What a host that is spoken TCP to hears before all else (`proxy_protocol_config`)."""
        version, client = self.options.proxy_protocol, self.exchange.info.connection
        if not version or client is None:
            return b""
        return proxy_protocol.header(version, client.remote, client.local)

    def request_complete(self, now: float) -> None:
        """The whole request has been received. Only the first call counts."""
        if self.complete_at is None:
            self.complete_at = now
            self.exchange.deadlines.arm_from(Phase.ROUTE, now, self.terms.timeout)

    def elapsed(self) -> float:
        """Seconds since the request was complete; 0 before."""
        return trio.current_time() - self.complete_at if self.complete_at is not None else 0.0


def _labels(entry: RouteEntry, info: StreamInfo) -> Labels:
    """What the request's own metadata says goes over its route's `metadata_match`."""
    own = (info.dynamic_metadata or {}).get(LB)
    return merged(entry.labels, labels_of(own)) if own else entry.labels
