"""`envoy.filters.network.http_connection_manager`: the requests of a connection, one by one, through the filters."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import msgspec
import trio

from proxy import registry
from proxy.access_log.access_log import build_access_logs
from proxy.config.common import PluginConfig, StringMatcher
from proxy.filters.context import CallNextNetwork, FilterContext, Keeper
from proxy.filters.early_header_mutations import EARLY_HEADER_MUTATIONS
from proxy.filters.header_edits import RouteEdits
from proxy.filters.http_filters import Overrides, build_filter, decode, decode_overrides
from proxy.filters.network import hcm_config, hcm_express
from proxy.filters.network.hcm_express_hooks import HookedLane
from proxy.filters.network.hcm_express_log import ExpressLogs
from proxy.filters.network.hcm_front import Front
from proxy.filters.network.hcm_idle import IdleLanes
from proxy.filters.network.hcm_local_reply import LocalReplies
from proxy.filters.network.hcm_plans import Plans
from proxy.filters.network.hcm_route_stats import RouteStats
from proxy.filters.network.hcm_session import Session
from proxy.filters.network.hcm_stats import HcmStats
from proxy.filters.network.hcm_upgrades import Upgrades
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.exchange import Policy
from proxy.http.filter_chain import build_chain, build_hooks
from proxy.http.filter_failures import FilterFailures
from proxy.http.h2_stats import Http2Stats
from proxy.http.identity import Identities
from proxy.http.response_head import ResponseRules
from proxy.http.target import Target
from proxy.net.connection import Connection
from proxy.net.own_address import own_address
from proxy.route.finish import EditHeaders
from proxy.route.matcher import compile_string
from proxy.route.reads import headers_read
from proxy.route.table import RouteTable

BuildFilter = Callable[[PluginConfig, FilterContext], Any]


class HttpConnectionManager:
    """Built once per filter chain; what depends on configuration alone is done here. Terminal: calls no next filter.

    A new route configuration takes the place of the old one without touching connections (`in_place`, `renew`), as from
    RDS: an exchange keeps the table and the clusters that it began with, the next one on its connection has the new.
    """

    Config = hcm_config.Config
    terminal = True
    from_proto = staticmethod(hcm_config.from_proto)

    def __init__(
        self, name: str, config: hcm_config.Config, context: FilterContext, *, build: BuildFilter | None = None
    ) -> None:
        """`build` makes the HTTP filters, by default those that the configuration names."""
        build = build or build_filter
        self.config = config
        self.activity = context.activity
        self.drain = context.drain
        self.disconnects = context.disconnects
        self.clusters = context.clusters
        self.recorder = context.recorder
        self.listener = context.listener_prefix.removeprefix("listener.").removesuffix(".")
        self.stats = HcmStats(context.stats, config.stat_prefix, context.listener_prefix)
        self.access_logs = build_access_logs(config.access_log, context.log_sinks)
        self.periodic = context.periodic
        self.logs_meanwhile = bool(self.access_logs and (config.log_options.tunnels or config.log_options.interval))
        self.express_logs = ExpressLogs(self.access_logs)
        self.identities = Identities(config.identity, own_address())
        self.target = Target(config.target)
        self.early_mutations = tuple(map(_early_mutation, config.early_mutations))
        self.scheme = context.scheme
        self.codec_options = _codec_options(config)
        self.routes = RouteTable(config.route_config, RouteEdits())
        self.headers_read = headers_read(config.route_config)
        http_context = dataclasses.replace(context, stat_prefix=f"http.{config.stat_prefix}.")
        filters = [build(plugin, http_context) for plugin in config.http_filters]
        self.route_stats = RouteStats(config.route_config, context.stats)
        self._all_stats = context.stats
        self.chain = build_chain(filters)
        self.upgrades = Upgrades(
            config.upgrades,
            lambda plugins: build_chain([build(plugin, http_context) for plugin in plugins]),
            self.stats,
        )
        self.express = context.express
        self.idle_lanes = IdleLanes(config.idle_timeout)
        self.express.watch_idle(self.idle_lanes)
        overrides = _overrides(config)
        self.policy = Policy(
            response=ResponseRules(config.server, config.identity.via),
            drain_close=self._drain_close,
            filter_configs=overrides.configs,
            filter_trees=overrides.trees,
            failures=FilterFailures(context.stats.counter(f"{http_context.stat_prefix}filter_exceptions")),
            proxy_100_continue=config.proxy_100_continue,
            proxy_status=config.proxy_status,
            scheme_of_upstream=config.identity.scheme_of_upstream,
            rewrite_reply=None if config.local_reply is None else LocalReplies(config.local_reply).rewrite,
        )
        self.plans: Plans | None = None
        self.lane: Callable[..., hcm_express.Lane] = hcm_express.Lane
        if hcm_express.suits(config, filters):
            hooked = not all(map(hcm_express.edits_by_constants, filters[:-1]))
            self.plans = self._plans(filters, whole=hooked)
            if hooked:
                codec = H1ServerCodec(**self.codec_options)
                self.lane = functools.partial(HookedLane, hooks=build_hooks(filters[:-1]), codec=codec)
        self.stream_plans = self.plans if self.lane is hcm_express.Lane else None
        self._needs_task = self.plans is None or not hcm_express.suits_connection(config)

    @functools.cached_property
    def http2_stats(self) -> Http2Stats:
        """`http2.*`, which exist from the first connection on that needs them, as in Envoy."""
        return Http2Stats(self._all_stats)

    def _plans(self, filters: list[Any], *, whole: bool) -> Plans:
        """For the express lane."""
        return Plans(
            router=filters[-1],
            editors=filters[:-1],
            policy=self.policy,
            routes=self.routes,
            clusters=self.clusters,
            identities=self.identities,
            target=self.target,
            codec_options=self.codec_options,
            scheme=self.scheme,
            whole=whole,
        )

    @staticmethod
    def in_place(before: hcm_config.Config, now: hcm_config.Config) -> bool:
        """Whether nothing but the routes has changed."""
        return msgspec.structs.replace(before, route_config=now.route_config) == now

    def renew(self, config: hcm_config.Config) -> Callable[[], None]:
        """Get ready for a `config` that is `in_place`; what is returned puts it into effect."""
        routes = RouteTable(config.route_config, RouteEdits())
        read = headers_read(config.route_config)
        route_stats = RouteStats(config.route_config, self._all_stats)
        overrides = _overrides(config)
        policy = dataclasses.replace(self.policy, filter_configs=overrides.configs, filter_trees=overrides.trees)

        def commit() -> None:
            self.config, self.routes, self.policy, self.route_stats = config, routes, policy, route_stats
            self.headers_read = read
            self._forget_plans()

        return commit

    def on_clusters_changed(self) -> None:
        """Some names mean another cluster now."""
        self._forget_plans()

    def on_retired(self) -> None:
        """No connection is left, nor will there be one. Route tables are large: whatever refers back to us is cut, so
        that they go now.
        """
        self.policy = dataclasses.replace(self.policy, drain_close=bool)
        self._forget_plans()

    def _forget_plans(self) -> None:
        self.express_logs.forget()
        if self.plans is not None:
            self.plans.renew(self.policy, self.routes)

    def _drain_close(self) -> bool:
        """Asked once with each response head, as in Envoy, whatever else may end the connection."""
        if not self.drain.active or not self.drain.decide():
            return False
        self.stats.cx_drain_close.inc()
        return True

    def begin_connection(self, connection: Connection) -> None:
        """Count a connection and its bytes."""
        self.stats.charge_connection(tls=connection.tls is not None)
        connection.count_bytes(self.stats.cx_rx_bytes_total, self.stats.cx_tx_bytes_total)

    def begin_protocol(self, connection: Connection, protocol: str) -> None:
        """The client has begun to speak, "http1" or "http2"."""
        connection.protocol = protocol
        self.stats.charge_protocol(protocol)

    def end_connection(self, connection: Connection, session: Session | None = None) -> None:
        """It is over; `session` is what ended it, unless it was the express lane."""
        self.stats.charge_destroy(
            connection.protocol,
            remote=connection.closed_by_peer and not (session is not None and session.we_close),
            active_rq=session is not None and session.active,
            length_ms=round((trio.current_time() - connection.opened_at) * 1000),
            tls=connection.tls is not None,
        )

    def begin_exchange(self, *, http2: bool = False) -> None:
        """Count a request that has begun."""
        self.activity.begun += 1
        (self.stats.rq_http2_total if http2 else self.stats.rq_http1_total).inc()
        self.stats.rq_active.add(1)

    def end_exchange(self) -> None:
        """It is over; `stats` hears of that apart."""
        self.activity.ended += 1

    def begin(self, connection: Connection, keeper: Keeper) -> bool:
        """Serve the connection without a task for as long as that does; False if it needs one all along."""
        if self.plans is None or self._needs_task:
            return False
        Front(self, self.plans, connection, keeper).begin()
        return True

    async def __call__(self, connection: Connection, call_next: CallNextNetwork) -> None:
        hop = self.identities.hop(connection.remote, connection.local, self.scheme, connection.tls)
        session = Session(self, connection, hop)
        self.begin_connection(connection)
        try:
            await session.run()
        finally:
            self.end_connection(connection, session)


def _codec_options(config: hcm_config.Config) -> dict[str, Any]:
    """Keyword arguments of `H1ServerCodec`."""
    return {
        "max_headers_bytes": config.max_request_headers_kb * 1024,
        "max_headers_count": config.max_headers_count,
        "accept_http_10": config.http1.accept_http_10,
        "default_host_for_http_10": config.http1.default_host_for_http_10.encode(),
        "allow_absolute_url": config.http1.allow_absolute_url,
        "allow_custom_methods": config.http1.allow_custom_methods,
        "enable_trailers": config.http1.enable_trailers,
        "header_case": config.http1.header_case,
        "ignores_upgrade": _any_of(config.http1.ignored_upgrades),
    }


def _early_mutation(plugin: PluginConfig) -> EditHeaders:
    extension = registry.load(EARLY_HEADER_MUTATIONS, plugin.type_url)
    edit: EditHeaders = extension(decode(plugin, extension.Config))
    return edit


def _any_of(matchers: tuple[StringMatcher, ...]) -> Callable[[bytes], bool] | None:
    predicates = [compile_string(matcher) for matcher in matchers]
    return (lambda text: any(matches(text) for matches in predicates)) if predicates else None


def _overrides(config: hcm_config.Config) -> Overrides:
    """Per-route configurations of the chain's filters, and of those that upgrades have of their own."""
    plugins = [*config.http_filters, *(plugin for upgrade in config.upgrades for plugin in upgrade.filters)]
    return decode_overrides(config.route_config, frozenset(plugin.name for plugin in plugins))
