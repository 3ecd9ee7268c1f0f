"""How a cluster speaks HTTP: `extensions.upstreams.http.v3.HttpProtocolOptions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from master.config import any_types
from master.config.compile.proxy_protocol import speaks_tls
from master.config.walk import unpack
from proxy.config.cluster import RequestNames
from proxy.config.http1 import UpstreamHttp1Options
from proxy.http import header_case, http2_options

if TYPE_CHECKING:
    from master.config.compile.context import Context

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.cluster.v3.Cluster": (
        "typed_extension_protocol_options",
        "max_requests_per_connection",
        "upstream_http_protocol_options",
        "http2_protocol_options",
    ),
    OPTIONS: (
        "common_http_protocol_options",
        "upstream_http_protocol_options",
        "explicit_http_config",
        "use_downstream_protocol_config",
        "auto_config",
    ),
    "envoy.config.core.v3.UpstreamHttpProtocolOptions": ("auto_sni", "auto_san_validation", "override_auto_sni_header"),
    f"{OPTIONS}.ExplicitHttpConfig": ("http_protocol_options", "http2_protocol_options"),
    f"{OPTIONS}.AutoHttpConfig": ("http_protocol_options", "http2_protocol_options"),
    f"{OPTIONS}.UseDownstreamHttpConfig": ("http_protocol_options", "http2_protocol_options"),
    "envoy.config.core.v3.HttpProtocolOptions": (
        "idle_timeout",
        "max_connection_duration",
        "max_stream_duration",
        "max_requests_per_connection",
        "max_headers_count",
        "max_response_headers_kb",
    ),
    "envoy.config.core.v3.Http1ProtocolOptions": ("header_key_format", "enable_trailers", "send_fully_qualified_url"),
    **header_case.FIELDS,
    **http2_options.FIELDS,
}

IDLE_TIMEOUT = 3600.0
_OF_SERVERS = (
    "accept_http_10",
    "default_host_for_http_10",
    "allow_absolute_url",
    "allow_custom_methods",
    "ignore_http_11_upgrade",
)


def compile_http_options(cluster: Any, context: Context) -> dict[str, Any]:
    """Fields of `proxy.config.cluster.Cluster` from a cluster's options, one of which may stand in the cluster itself,
    as it did before there were options.
    """
    secure = speaks_tls(cluster.transport_socket)
    fields = _typed(cluster.typed_extension_protocol_options, context.at("typed_extension_protocol_options"), secure)
    if cluster.HasField("max_requests_per_connection"):
        if fields.get("max_requests_per_connection"):
            context.error(
                ("max_requests_per_connection",), "the cluster's HttpProtocolOptions say it too", "one of both"
            )
        fields["max_requests_per_connection"] = cluster.max_requests_per_connection.value
    if cluster.HasField("http2_protocol_options"):
        _legacy_http2(cluster, fields, context)
    if cluster.HasField("upstream_http_protocol_options"):
        if cluster.typed_extension_protocol_options:
            context.error(
                ("upstream_http_protocol_options",),
                "with typed_extension_protocol_options nobody reads it",
                "the field of the same name there",
            )
        fields["request_names"] = _names(cluster.upstream_http_protocol_options)
    return fields


def _legacy_http2(cluster: Any, fields: dict[str, Any], context: Context) -> None:
    if "protocol" in fields:
        context.error(
            ("http2_protocol_options",), "the cluster's HttpProtocolOptions say what it speaks", "one of both"
        )
    fields["protocol"] = "http2"
    fields["http2"] = http2_options.from_proto(cluster.http2_protocol_options, context.at("http2_protocol_options"))


def _typed(values: Any, context: Context, secure: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in sorted(values):
        kind = any_types.split_url(values[name].type_url) or ""
        message: Any = unpack(values[name])
        here = context.at(name)
        if kind != OPTIONS or name != OPTIONS or message is None:
            if here.path not in here.unsupported:
                here.error((), f"no protocol options {name!r} of type {kind}", OPTIONS, kind="reference")
            continue
        if message.WhichOneof("upstream_protocol_options") is None and not here.incomplete():
            here.error((), "no upstream protocol is chosen", "explicit_http_config: {http_protocol_options: {}}")
        fields |= _common(message.common_http_protocol_options, here.at("common_http_protocol_options"))
        if message.HasField("upstream_http_protocol_options"):
            fields["request_names"] = _names(message.upstream_http_protocol_options)
        fields |= _protocol(message, here, secure=secure)
    return fields


def _names(message: Any) -> RequestNames | None:
    """None if no connection depends on a request's name."""
    if not (message.auto_sni or message.auto_san_validation):
        return None
    return RequestNames(
        message.auto_sni, message.auto_san_validation, message.override_auto_sni_header.lower().encode()
    )


def _protocol(message: Any, context: Context, *, secure: bool) -> dict[str, Any]:
    """What is spoken, and the options of each version of HTTP that may be."""
    chosen = message.WhichOneof("upstream_protocol_options")
    if chosen == "use_downstream_protocol_config":
        protocol, options = "downstream", message.use_downstream_protocol_config
        there = context.at("use_downstream_protocol_config")
    elif chosen == "auto_config":
        protocol, options, there = "alpn", message.auto_config, context.at("auto_config")
        if not secure:
            there.error(
                (), "only TLS can tell what a host speaks", "a transport_socket of TLS, or explicit_http_config"
            )
    else:
        options, there = message.explicit_http_config, context.at("explicit_http_config")
        protocol = "http2" if options.HasField("http2_protocol_options") else "http1"
    return {
        "protocol": protocol,
        "http1": _http1(options.http_protocol_options, there.at("http_protocol_options")),
        "http2": http2_options.from_proto(options.http2_protocol_options, there.at("http2_protocol_options")),
    }


def _http1(message: Any, context: Context) -> UpstreamHttp1Options:
    for field in _OF_SERVERS:
        if any(found.name == field for found, _ in message.ListFields()):
            context.error((field,), "it says what clients may do", "the connection manager's field")
    return UpstreamHttp1Options(
        header_case=header_case.from_proto(message, context),
        enable_trailers=message.enable_trailers,
        send_fully_qualified_url=message.send_fully_qualified_url,
    )


def _common(message: Any, context: Context) -> dict[str, Any]:
    def seconds(field: str, default: float) -> float:
        return context.duration(getattr(message, field), field) if message.HasField(field) else default

    if message.headers_with_underscores_action:
        context.error(
            ("headers_with_underscores_action",), "it says what clients may send", "the connection manager's field"
        )
    return {
        "idle_timeout": seconds("idle_timeout", IDLE_TIMEOUT),
        "max_connection_duration": seconds("max_connection_duration", 0.0),
        "max_stream_duration": seconds("max_stream_duration", 0.0),
        "max_requests_per_connection": message.max_requests_per_connection.value,
        "max_response_headers_count": message.max_headers_count.value or 100,
        "max_response_headers_kb": message.max_response_headers_kb.value or 60,
    }
