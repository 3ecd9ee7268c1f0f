"""Configuration of the HTTP connection manager (`...filters.network.http_connection_manager.v3`)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from proxy.config.access_log import AccessLog
from proxy.config.common import PluginConfig
from proxy.config.context import CompileContext
from proxy.config.http1 import Http1Options
from proxy.config.http2 import Http2Options
from proxy.config.identity import Identity, ServerHeader
from proxy.config.local_reply import LocalReplyConfig
from proxy.config.proxy_status import ProxyStatus
from proxy.config.route import RouteConfiguration
from proxy.config.target import TargetRules
from proxy.filters.early_header_mutations import EARLY_HEADER_MUTATIONS
from proxy.filters.network import (
    hcm_http1_config,
    hcm_identity_config,
    hcm_local_reply,
    hcm_target_config,
)
from proxy.http import http2_options

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": (
        "stat_prefix",
        "codec_type=AUTO",
        "codec_type=HTTP1",
        "codec_type=HTTP2",
        "route_config",
        "http_filters",
        "max_request_headers_kb",
        "stream_idle_timeout",
        "stream_flush_timeout",
        "request_timeout",
        "request_headers_timeout",
        "drain_timeout",
        "delayed_close_timeout",
        "common_http_protocol_options",
        "access_log",
        "upgrade_configs",
        "proxy_100_continue",
        "http1_safe_max_connection_duration",
        "access_log_options",
        "local_reply_config",
        "http2_protocol_options",
        "proxy_status_config",
        "early_header_mutation_extensions",
        "http_protocol_options",
        *hcm_identity_config.HCM_FIELDS,
        *hcm_target_config.HCM_FIELDS,
    ),
    f"{hcm_identity_config.HCM}.ProxyStatusConfig": (
        "remove_details",
        "remove_response_flags",
        "set_recommended_response_code",
        "use_node_id",
        "literal_proxy_name",
    ),
    f"{hcm_identity_config.HCM}.UpgradeConfig": ("upgrade_type", "filters", "enabled"),
    f"{hcm_identity_config.HCM}.HcmAccessLogOptions": (
        "flush_access_log_on_new_request",
        "access_log_flush_interval",
        "flush_log_on_tunnel_successfully_established",
    ),
    "envoy.config.core.v3.HttpProtocolOptions": (
        "idle_timeout",
        "max_connection_duration",
        "max_stream_duration",
        "max_requests_per_connection",
        "max_headers_count",
        "headers_with_underscores_action",
    ),
    **http2_options.FIELDS,
    **hcm_identity_config.FIELDS,
    **hcm_http1_config.FIELDS,
    **hcm_local_reply.FIELDS,
}


CodecType = Literal["AUTO", "HTTP1", "HTTP2"]


class Upgrade(msgspec.Struct, frozen=True):
    """`HttpConnectionManager.UpgradeConfig`. `type` is lower case. No `filters`: the connection manager's."""

    type: str
    enabled: bool = True
    filters: tuple[PluginConfig, ...] = ()


class LogOptions(msgspec.Struct, frozen=True, gc=False):
    """`HcmAccessLogOptions`: entries of requests that begin, of tunnels that open, and every `interval` seconds (0:
    none) of what is not over yet.
    """

    new_requests: bool = False
    tunnels: bool = False
    interval: float = 0.0


class Config(msgspec.Struct, frozen=True):
    """`HttpConnectionManager` with Envoy's defaults. Durations in seconds; 0 means none, and None for
    `stream_flush_timeout` what the stream's idle timeout is. `safe_max_connection_duration`: of HTTP/1, whose
    connections end with a response and not between two requests.
    """

    stat_prefix: str
    route_config: RouteConfiguration
    http_filters: tuple[PluginConfig, ...]
    codec_type: CodecType = "AUTO"
    server: ServerHeader = ServerHeader()
    identity: Identity = Identity()
    target: TargetRules = TargetRules()
    http1: Http1Options = Http1Options()
    http2: Http2Options = Http2Options()
    max_request_headers_kb: int = 60
    max_headers_count: int = 100
    idle_timeout: float = 3600.0
    stream_idle_timeout: float = 300.0
    stream_flush_timeout: float | None = None
    request_timeout: float = 0.0
    request_headers_timeout: float = 0.0
    delayed_close_timeout: float = 1.0
    drain_timeout: float = 5.0
    max_connection_duration: float = 0.0
    safe_max_connection_duration: bool = False
    max_stream_duration: float = 0.0
    max_requests_per_connection: int = 0
    access_log: tuple[AccessLog, ...] = ()
    upgrades: tuple[Upgrade, ...] = ()
    proxy_100_continue: bool = False
    log_options: LogOptions = LogOptions()
    local_reply: LocalReplyConfig | None = None
    proxy_status: ProxyStatus | None = None
    early_mutations: tuple[PluginConfig, ...] = ()


def from_proto(message: Any, context: CompileContext) -> Config:
    """Compiles an `HttpConnectionManager` message."""

    def seconds(field: str, default: float) -> float:
        return context.duration(getattr(message, field), field) if message.HasField(field) else default

    options = message.common_http_protocol_options
    at_options = context.at("common_http_protocol_options")
    if options.HasField("max_response_headers_kb"):
        at_options.error(("max_response_headers_kb",), "it says what upstreams may send", "the cluster's field")
    idle = at_options.duration(options.idle_timeout, "idle_timeout")
    return Config(
        stat_prefix=message.stat_prefix,
        route_config=context.at("route_config").route_configuration(message.route_config),
        http_filters=context.at("http_filters").http_filters(message.http_filters),
        codec_type=_codec_type(message),
        server=hcm_identity_config.server_header(message),
        identity=hcm_identity_config.identity(message, context),
        target=hcm_target_config.target(message, context),
        http1=hcm_http1_config.options(message.http_protocol_options, context.at("http_protocol_options")),
        http2=http2_options.from_proto(message.http2_protocol_options, context.at("http2_protocol_options")),
        max_request_headers_kb=message.max_request_headers_kb.value or 60,
        max_headers_count=options.max_headers_count.value or 100,
        idle_timeout=idle if options.HasField("idle_timeout") else 3600.0,
        stream_idle_timeout=seconds("stream_idle_timeout", 300.0),
        stream_flush_timeout=context.duration(message.stream_flush_timeout, "stream_flush_timeout")
        if message.HasField("stream_flush_timeout")
        else None,
        request_timeout=seconds("request_timeout", 0.0),
        request_headers_timeout=seconds("request_headers_timeout", 0.0),
        delayed_close_timeout=seconds("delayed_close_timeout", 1.0),
        drain_timeout=seconds("drain_timeout", 5.0) or 5.0,
        max_connection_duration=at_options.duration(options.max_connection_duration, "max_connection_duration"),
        safe_max_connection_duration=message.http1_safe_max_connection_duration,
        max_stream_duration=at_options.duration(options.max_stream_duration, "max_stream_duration"),
        max_requests_per_connection=options.max_requests_per_connection.value,
        access_log=context.at("access_log").access_logs(message.access_log),
        upgrades=_upgrades(message.upgrade_configs, context),
        proxy_100_continue=message.proxy_100_continue,
        log_options=_log_options(message.access_log_options, context.at("access_log_options")),
        local_reply=_local_reply(message, context),
        proxy_status=_proxy_status(message, context),
        early_mutations=context.at("early_header_mutation_extensions").extensions(
            message.early_header_mutation_extensions, EARLY_HEADER_MUTATIONS, "early header mutation"
        ),
    )


def _codec_type(message: Any) -> CodecType:
    if message.codec_type == message.HTTP1:
        return "HTTP1"
    return "HTTP2" if message.codec_type == message.HTTP2 else "AUTO"


def _log_options(message: Any, context: CompileContext) -> LogOptions:
    return LogOptions(
        new_requests=message.flush_access_log_on_new_request,
        tunnels=message.flush_log_on_tunnel_successfully_established,
        interval=context.duration(message.access_log_flush_interval, "access_log_flush_interval"),
    )


def _upgrades(messages: Any, context: CompileContext) -> tuple[Upgrade, ...]:
    upgrades: dict[str, Upgrade] = {}
    for index, message in enumerate(messages):
        here, kind = context.at("upgrade_configs", index), message.upgrade_type.lower()
        if kind in upgrades:
            here.error(("upgrade_type",), f"{message.upgrade_type!r} stands here twice", "one entry for each type")
        enabled = message.enabled.value if message.HasField("enabled") else True
        filters = here.at("filters").http_filters(message.filters) if message.filters else ()
        upgrades[kind] = Upgrade(kind, enabled, filters)
    return tuple(upgrades.values())


def _local_reply(message: Any, context: CompileContext) -> LocalReplyConfig | None:
    if not message.HasField("local_reply_config"):
        return None
    return hcm_local_reply.from_proto(message.local_reply_config, context.at("local_reply_config"))


def _proxy_status(message: Any, context: CompileContext) -> ProxyStatus | None:
    if not message.HasField("proxy_status_config"):
        return None
    config = message.proxy_status_config
    kind = config.WhichOneof("proxy_name") or ""
    name = context.node.id if config.use_node_id else config.literal_proxy_name
    if kind and not name:
        source = "node.id" if config.use_node_id else kind
        context.error(("proxy_status_config", kind), f"{source} is empty, so nobody would be named", "a name")
    return ProxyStatus(
        name=name or message.server_name or "envoy",
        details=not config.remove_details,
        flags=not config.remove_response_flags,
        recommends=config.set_recommended_response_code,
    )
