"""`envoy.filters.http.router`: the last HTTP filter. Forwards the exchange to a host of the route's cluster."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from proxy.access_log.access_log import build_access_logs
from proxy.config.context import CompileContext
from proxy.config.forwarding import Forwarding as Options
from proxy.config.route import ClusterAction
from proxy.errors import Flag, ProxyError
from proxy.filters.context import FilterContext
from proxy.filters.http.router_headers import finish_terms, settle
from proxy.filters.router import connect_upstream, hedging, retrying, strict_headers
from proxy.filters.router.forwarding import Forwarding
from proxy.filters.router.hashing import Hashed, hashed, policy_of
from proxy.filters.router.redirects import Follower, RedirectStats
from proxy.filters.router.request_body import KeptBody, Source
from proxy.filters.router.retries import Retries
from proxy.filters.router.shadow import Mirroring
from proxy.filters.router.upstream_log import UpstreamLogConfig, UpstreamLogs
from proxy.filters.router.upstream_request import UpstreamRequest
from proxy.http import grpc
from proxy.http.exchange import Exchange
from proxy.http.filter_chain import CallNext
from proxy.net.own_address import own_address
from proxy.upstream.cluster import Cluster
from proxy.upstream.judge import Followed

PROTO = "envoy.extensions.filters.http.router.v3.Router"
FIELDS: dict[str, tuple[str, ...]] = {
    PROTO: (
        "suppress_envoy_headers",
        "respect_expected_rq_timeout",
        "suppress_grpc_request_failure_code_stats",
        "strict_check_headers",
        "upstream_log",
        "upstream_log_options",
    ),
    f"{PROTO}.UpstreamAccessLogOptions": (
        "flush_upstream_log_on_upstream_stream",
        "upstream_log_flush_interval",
    ),
}


class Router:
    """Picks the cluster; `proxy/filters/router/` streams the request up and the response down, both with back-pressure.

    The response may begin before the request is complete. It then ends the connection, and what is left of the request
    is not read (features §13 rule 20).
    """

    terminal = True

    class Config(msgspec.Struct, frozen=True):
        """`Router`. `suppress_envoy_headers`: no `x-envoy-*` header is added in either direction.
        `hide_grpc_codes`: statuses of gRPC requests do not count in `upstream_rq_<code>`.
        `strict_check_headers` names those for the router that are refused if they make no sense.
        """

        suppress_envoy_headers: bool = False
        respect_expected_rq_timeout: bool = False
        strict_check_headers: tuple[str, ...] = ()
        upstream_log: UpstreamLogConfig | None = None
        hide_grpc_codes: bool = False

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `Router` message."""
        options = message.upstream_log_options
        at_options = context.at("upstream_log_options")
        logs = UpstreamLogConfig(
            context.at("upstream_log").access_logs(message.upstream_log),
            log_ready=options.flush_upstream_log_on_upstream_stream,
            interval=at_options.duration(options.upstream_log_flush_interval, "upstream_log_flush_interval"),
        )
        return cls.Config(
            suppress_envoy_headers=message.suppress_envoy_headers,
            respect_expected_rq_timeout=message.respect_expected_rq_timeout,
            strict_check_headers=tuple(message.strict_check_headers),
            hide_grpc_codes=message.suppress_grpc_request_failure_code_stats,
            upstream_log=logs if logs.logs else None,
        )

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self.envoy_headers = not config.suppress_envoy_headers
        self.respects_expected = config.respect_expected_rq_timeout
        self.hides_grpc_codes = config.hide_grpc_codes
        self.checked = tuple(name.encode() for name in config.strict_check_headers)
        self.upstream_logs: UpstreamLogs | None = None
        if config.upstream_log is not None:
            logs = build_access_logs(config.upstream_log.logs, context.log_sinks)
            self.upstream_logs = UpstreamLogs(config.upstream_log, logs, context.periodic)
        self._pipes = context.pipes
        self._buffer_limit = context.buffer_limit
        self._mirroring = Mirroring(context.shadows, own_address(), context.buffer_limit)
        counter = context.stats.counter
        self._redirects = RedirectStats(context.stats, context.stat_prefix)
        self._rq_total = counter(f"{context.stat_prefix}rq_total")
        self._no_route = counter(f"{context.stat_prefix}no_route")
        self._no_cluster = counter(f"{context.stat_prefix}no_cluster")
        self._direct_response = counter(f"{context.stat_prefix}rq_direct_response")

    def charge(self) -> None:
        """A request has come."""
        self._rq_total.inc()

    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        await self.forward(self.prepare(exchange))

    async def forward(self, forwarding: Forwarding) -> None:
        """Send a request that is prepared, and pass the response on. Raises `ProxyError`."""
        exchange, options = forwarding.exchange, forwarding.options
        if exchange.request.method == b"CONNECT":
            connect = options.upgrade("connect")
            if connect is not None and connect.terminates:
                await connect_upstream.run(forwarding)
                return
        if not options.mirrors or exchange.info.upgrade:
            await self._forward(forwarding, exchange.body, options)
            return
        labels = forwarding.context.labels
        body = self._mirroring.begin(exchange, options.mirrors, forwarding.terms, forwarding.cluster, labels)
        try:
            await self._forward(forwarding, body, options)
        finally:
            body.leave()

    def prepare(self, exchange: Exchange) -> Forwarding:
        """Settle where the request goes and on what terms, and make it the upstream's. Raises `ProxyError`, which may
        be the route's own answer.
        """
        handover = exchange.handover
        if handover is None or handover.upstream is None:
            self.charge()
        if exchange.route is None:
            self._no_route.inc()
            raise ProxyError("route_not_found", side="downstream", status=404, flag=Flag.NO_ROUTE_FOUND)
        entry = exchange.route
        if entry.reply is not None:
            self._direct_response.inc()
            raise entry.reply(exchange.request, self.envoy_headers)
        action = entry.route.action
        assert isinstance(action, ClusterAction)
        name = exchange.info.upstream_cluster = entry.cluster_name(exchange.request)
        cluster: Cluster | None = exchange.clusters.get(name)
        if cluster is None:
            self._no_cluster.inc()
            exchange.info.upstream_cluster = ""
            status = action.not_found_status
            raise ProxyError("cluster_not_found", side="internal", status=status, flag=Flag.NO_CLUSTER_FOUND)
        if self.hides_grpc_codes and grpc.is_request(exchange.request.headers):
            exchange.info.observed += (cluster.hidden,)
        if self.checked:
            strict_headers.check(exchange.request.headers, self.checked)
        terms = settle(
            exchange.request,
            action,
            entry.retry,
            tell=self.envoy_headers,
            respect_expected=self.respects_expected,
        )
        transport = cluster.transport_options(exchange.request)
        policy = policy_of(entry, cluster)
        found = hashed(policy, exchange) if policy is not None else Hashed()
        if entry.finish_request is not None:
            entry.finish_request(exchange.request, exchange.info, self.envoy_headers)
        finish_terms(exchange.request, terms, entry)
        if terms.timeout != action.timeout:
            exchange.deadlines.asked_timeout = terms.timeout
        if entry.retry is None or terms.per_try_timeout != entry.retry.policy.per_try_timeout:
            exchange.deadlines.asked_per_try_timeout = terms.per_try_timeout or None
        exchange.deadlines.no_content_on_timeout = terms.no_content
        forwarding = Forwarding(
            exchange,
            entry,
            cluster,
            terms,
            action.forwarding,
            self._pipes,
            service_time=self.envoy_headers,
            transport=transport,
            hashed=found,
        )
        forwarding.logs = self.upstream_logs
        return forwarding

    async def _forward(self, forwarding: Forwarding, body: Source, options: Options) -> None:
        retry, redirect = forwarding.terms.retry, options.internal_redirect
        if retry is None and redirect is None:
            await UpstreamRequest(forwarding, body).run()
            return
        limit = self._buffer_limit if options.buffer_limit is None else options.buffer_limit
        kept = KeptBody(body, limit, forwarding.cluster.stats.retry_or_shadow_abandoned.inc)
        if redirect is not None and not forwarding.exchange.info.upgrade:
            forwarding.follow = Follower(forwarding, redirect, kept, self._redirects)
        with contextlib.suppress(Followed):
            if retry is None:
                await UpstreamRequest(forwarding, kept.reader()).run()
            else:
                told = options.include_is_timeout_retry_header
                retries = Retries(forwarding, kept, retry, tell_timeout_retry=told)
                await (hedging.run if forwarding.terms.hedge else retrying.run)(forwarding, retries)
