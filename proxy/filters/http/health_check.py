"""`envoy.filters.http.health_check`: answers who asks whether this proxy is well: by itself, by what the upstream said
last, or by how many hosts of clusters are.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import trio

from proxy.config.common import HeaderMatcher
from proxy.config.context import CompileContext
from proxy.errors import Flag, ProxyError
from proxy.filters.context import FilterContext
from proxy.http.exchange import Exchange
from proxy.http.response_edits import ResponseHead
from proxy.route.matcher import compile_header
from proxy.upstream.cluster import Cluster
from proxy.upstream.host_set import Health

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.filters.http.health_check.v3.HealthCheck": (
        "pass_through_mode",
        "cache_time",
        "cluster_min_healthy_percentages",
        "headers",
    ),
}

CHECKED_CLUSTER: Final = b"x-envoy-upstream-healthchecked-cluster"
IMMEDIATE_FAIL: Final = b"x-envoy-immediate-health-check-fail"
DEGRADED: Final = b"x-envoy-degraded"
CACHED: Final = "health_check_cached"


class HealthCheck:
    """Requests with all `headers` are health checks. While the proxy's own one is failed (`/healthcheck/fail`), it says
    so to them and in every other response.
    """

    terminal = False

    class Config(msgspec.Struct, frozen=True):
        """`HealthCheck`. `service` is the node's cluster; `cache_time` in seconds, 0 for none; `percentages` of hosts
        that have to be well, by cluster.
        """

        pass_through: bool
        headers: tuple[HeaderMatcher, ...]
        service: str = ""
        cache_time: float = 0.0
        percentages: tuple[tuple[str, int], ...] = ()

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `HealthCheck` message."""
        passes = bool(message.pass_through_mode.value)
        if message.HasField("cache_time") and not passes:
            context.error(("cache_time",), "only what the upstream says can be kept", "pass_through_mode: true")
        if message.cluster_min_healthy_percentages and passes:
            context.error(
                ("cluster_min_healthy_percentages",), "the upstream is asked, not clusters", "pass_through_mode: false"
            )
        return cls.Config(
            pass_through=passes,
            headers=tuple(
                context.at("headers", index).header_matcher(matcher) for index, matcher in enumerate(message.headers)
            ),
            service=context.node.cluster,
            cache_time=context.duration(message.cache_time, "cache_time") if message.HasField("cache_time") else 0.0,
            percentages=tuple(
                (name, int(message.cluster_min_healthy_percentages[name].value))
                for name in sorted(message.cluster_min_healthy_percentages)
            ),
        )

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self.name = name
        self._config = config
        self._matchers = [compile_header(matcher) for matcher in config.headers]
        self._activity = context.activity
        self._service = config.service.encode()
        self._kept_until = 0.0
        self._kept = (200, False)  # the status, and whether the upstream is degraded

    def on_request_headers(self, exchange: Exchange) -> None:
        if not all(matches(exchange.request) for matches in self._matchers):
            return
        exchange.info.health_check = True
        kept = self._config.cache_time > 0 and trio.current_time() < self._kept_until
        if self._activity.health_check_failed:
            raise self._answer(503, "health_check_failed")
        if kept:
            status, degraded = self._kept
            raise self._answer(status, CACHED, ((DEGRADED, b""),) if degraded else ())
        if not self._config.pass_through:
            status, detail = self._look(exchange)
            raise self._answer(status, detail)

    def on_response_headers(self, exchange: Exchange, head: ResponseHead) -> None:
        if exchange.info.health_check:
            if self._config.cache_time and exchange.info.detail != CACHED:
                self._kept = (head.status, DEGRADED in head.headers)
                self._kept_until = trio.current_time() + self._config.cache_time
            head.headers.set(CHECKED_CLUSTER, self._service)
        if self._activity.health_check_failed:
            head.headers.set(IMMEDIATE_FAIL, b"true")

    def _look(self, exchange: Exchange) -> tuple[int, str]:
        """At the clusters that are to be well."""
        detail = "health_check_ok"
        for name, percentage in self._config.percentages:
            detail = "health_check_ok_cluster_healthy"
            cluster = exchange.clusters.get(name)
            if cluster is None:
                return 503, "health_check_failed_no_cluster_found"
            total, available = _available(cluster)
            if not total and percentage:
                return 503, "health_check_failed_cluster_empty"
            if 100 * available < percentage * total:
                return 503, "health_check_failed_cluster_unhealthy"
        return 200, detail

    def _answer(self, status: int, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> ProxyError:
        flag = None if 200 <= status < 300 else Flag.FAILED_LOCAL_HEALTH_CHECK
        return ProxyError(detail, side="internal", status=status, flag=flag, headers=headers)


def _available(cluster: Cluster) -> tuple[int, int]:
    """How many hosts there are, and how many of them may be asked."""
    endpoints = cluster.endpoints
    hosts = [host for locality in (endpoints.localities if endpoints is not None else ()) for host in locality.hosts]
    return len(hosts), sum(cluster.status.health(host) in (Health.HEALTHY, Health.DEGRADED) for host in hosts)
