"""Active health checks (`config.core.v3.HealthCheck`), and what an endpoint says of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from master.config.compile.address import compile_address
from master.config.walk import unpack
from proxy.access_log.file import check_path
from proxy.config.header_mutation import Mutation
from proxy.config.health_check import EndpointCheck, GrpcCheck, HealthCheck, HttpCheck, Statuses, TcpCheck
from proxy.filters.header_edits import compile_option, compile_removal
from proxy.route.labels import canonical

if TYPE_CHECKING:
    from master.config.compile.context import Context

CHECK = "envoy.config.core.v3.HealthCheck"
FILE_SINK = "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink"

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.cluster.v3.Cluster": ("health_checks",),
    CHECK: (
        "timeout",
        "interval",
        "initial_jitter",
        "interval_jitter",
        "interval_jitter_percent",
        "unhealthy_threshold",
        "healthy_threshold",
        "reuse_connection",
        "http_health_check",
        "tcp_health_check",
        "grpc_health_check",
        "no_traffic_interval",
        "no_traffic_healthy_interval",
        "unhealthy_interval",
        "unhealthy_edge_interval",
        "healthy_edge_interval",
        "event_log_path",
        "event_logger",
        "always_log_health_check_failures",
        "always_log_health_check_success",
        "tls_options",
        "transport_socket_match_criteria",
    ),
    f"{CHECK}.HttpHealthCheck": (
        "host",
        "path",
        "method",
        "send",
        "receive",
        "response_buffer_size",
        "request_headers_to_add",
        "request_headers_to_remove",
        "expected_statuses",
        "retriable_statuses",
        "codec_client_type=HTTP2",
        "service_name_matcher",
    ),
    f"{CHECK}.TcpHealthCheck": ("send", "receive"),
    f"{CHECK}.GrpcHealthCheck": ("service_name", "authority", "initial_metadata"),
    f"{CHECK}.Payload": ("text", "binary"),
    f"{CHECK}.TlsOptions": ("alpn_protocols",),
    FILE_SINK: ("event_log_path",),
    "envoy.type.v3.Int64Range": ("start", "end"),
    "envoy.config.endpoint.v3.Endpoint": ("health_check_config",),
    "envoy.config.endpoint.v3.Endpoint.HealthCheckConfig": (
        "port_value",
        "hostname",
        "address",
        "disable_active_health_check",
    ),
}

NO_TRAFFIC_INTERVAL = 60.0
RESPONSE_BUFFER = 1024
BODILESS = ("GET", "HEAD", "DELETE", "TRACE")


def compile_health_check(messages: Any, context: Context, *, http2: bool) -> HealthCheck | None:
    """Of a cluster, whose hosts speak HTTP/2 if `http2`; `context` stands for the list. None if it has none."""
    if len(messages) > 1:
        context.error((1,), "a cluster has one health check", "one entry")
    return _check(messages[0], context.at(0), http2=http2) if messages else None


def _check(message: Any, context: Context, *, http2: bool) -> HealthCheck | None:
    """None if there is nothing to check with, which is reported."""

    def seconds(field: str, default: float) -> float:
        return context.duration(getattr(message, field), field) if message.HasField(field) else default

    interval = seconds("interval", 0.0)
    no_traffic = seconds("no_traffic_interval", NO_TRAFFIC_INTERVAL)
    unhealthy = seconds("unhealthy_interval", interval)
    kind = _kind(message, context, http2=http2)
    return None if kind is None else HealthCheck(
        kind=kind,
        timeout=seconds("timeout", 0.0),
        interval=interval,
        unhealthy_threshold=message.unhealthy_threshold.value,
        healthy_threshold=message.healthy_threshold.value,
        no_traffic_interval=no_traffic,
        no_traffic_healthy_interval=seconds("no_traffic_healthy_interval", no_traffic),
        unhealthy_interval=unhealthy,
        unhealthy_edge_interval=seconds("unhealthy_edge_interval", unhealthy),
        healthy_edge_interval=seconds("healthy_edge_interval", interval),
        initial_jitter=seconds("initial_jitter", 0.0),
        interval_jitter=seconds("interval_jitter", 0.0),
        interval_jitter_percent=message.interval_jitter_percent,
        reuse_connection=message.reuse_connection.value if message.HasField("reuse_connection") else True,
        event_logs=_event_logs(message, context),
        always_log_failures=message.always_log_health_check_failures,
        always_log_success=message.always_log_health_check_success,
        alpn=tuple(message.tls_options.alpn_protocols),
        socket_match=canonical(json_format.MessageToDict(message.transport_socket_match_criteria))
        if message.HasField("transport_socket_match_criteria")
        else "",
    )  # fmt: skip


def _kind(message: Any, context: Context, *, http2: bool) -> HttpCheck | TcpCheck | GrpcCheck | None:
    kind = message.WhichOneof("health_checker")
    if kind == "http_health_check":
        return _http(message.http_health_check, context.at(kind))
    if kind == "tcp_health_check":
        check = message.tcp_health_check
        here = context.at(kind)
        return TcpCheck(_payload(check.send, here.at("send")), _payloads(check.receive, here.at("receive")))
    if kind == "grpc_health_check":
        if not http2:
            context.error((kind,), "the hosts of this cluster do not speak HTTP/2", "http2_protocol_options")
        check = message.grpc_health_check
        edits = _added(check.initial_metadata, context.at(kind, "initial_metadata"))
        return GrpcCheck(check.service_name, check.authority, edits)
    return None


def _http(message: Any, context: Context) -> HttpCheck:
    methods = type(message).DESCRIPTOR.fields_by_name["method"].enum_type.values_by_number
    method = methods[message.method].name if message.method else "GET"
    if message.HasField("send") and method in BODILESS:
        context.error(("send",), f"a {method} has no body", "method: POST, for example")
    receive = _payloads(message.receive, context.at("receive"))
    buffer = message.response_buffer_size.value if message.HasField("response_buffer_size") else RESPONSE_BUFFER
    if buffer and sum(map(len, receive)) > buffer:
        context.error(("receive",), f"more than the {buffer} bytes that are looked at (response_buffer_size)")
    name = None
    if message.HasField("service_name_matcher"):
        name = context.string_matcher(message.service_name_matcher, "service_name_matcher")
    return HttpCheck(
        path=message.path,
        host=message.host,
        method=method,
        send=_payload(message.send, context.at("send")),
        receive=receive,
        response_buffer_size=buffer,
        edits=(
            *(
                compile_removal(name, context, "request_headers_to_remove", index)
                for index, name in enumerate(message.request_headers_to_remove)
            ),
            *_added(message.request_headers_to_add, context.at("request_headers_to_add")),
        ),
        expected=_statuses(message.expected_statuses, context.at("expected_statuses")) or ((200, 201),),
        retriable=_statuses(message.retriable_statuses, context.at("retriable_statuses")),
        http2=message.codec_client_type == 1,
        service_name=name,
    )


def _added(options: Any, context: Context) -> tuple[Mutation, ...]:
    return tuple(compile_option(option, context.at(index)) for index, option in enumerate(options))


def _statuses(ranges: Any, context: Context) -> Statuses:
    for index, each in enumerate(ranges):
        if not 100 <= each.start < each.end <= 600:
            context.error((index,), f"no statuses are in [{each.start}, {each.end})", "100 <= start < end <= 600")
    return tuple((each.start, each.end) for each in ranges)


def _payloads(messages: Any, context: Context) -> tuple[bytes, ...]:
    return tuple(_payload(message, context.at(index)) for index, message in enumerate(messages))


def _payload(message: Any, context: Context) -> bytes:
    """`Payload`: bytes as they are, or in hexadecimal."""
    if message.WhichOneof("payload") != "text":
        return bytes(message.binary)
    try:
        return bytes.fromhex(message.text)
    except ValueError:
        context.error(("text",), f"invalid hex string {message.text!r}", "two hexadecimal digits for each byte")
        return b""


def _event_logs(message: Any, context: Context) -> tuple[str, ...]:
    """`event_log_path`, and the paths of the file sinks."""
    paths = {}
    if message.event_log_path:
        paths[message.event_log_path] = context.at("event_log_path")
    for index, extension in enumerate(message.event_logger):
        sink: Any = unpack(extension.typed_config)
        if sink is not None and sink.DESCRIPTOR.full_name == FILE_SINK:
            paths[sink.event_log_path] = context.at("event_logger", index, "typed_config", "event_log_path")
    for path, here in paths.items():
        check_path(path, here)
    return tuple(paths)


def compile_endpoint_check(endpoint: Any, context: Context) -> EndpointCheck | None:
    """Of an `Endpoint`, for which `context` stands; None if it is checked where it serves."""
    if not endpoint.HasField("health_check_config"):
        return None
    message, here = endpoint.health_check_config, context.at("health_check_config")
    address = compile_address(message.address, here.at("address")) if message.HasField("address") else None
    checked = message.address if message.HasField("address") else endpoint.address
    if message.port_value and checked.WhichOneof("address") == "pipe":
        here.error(("port_value",), "a Unix socket has no port", "nothing, or an address with a port")
    return EndpointCheck(address, message.port_value, message.hostname, message.disable_active_health_check)
