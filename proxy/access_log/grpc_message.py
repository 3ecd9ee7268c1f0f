"""Entries of gRPC access logs as messages (`data.accesslog.v3`). Loaded only where such a log is configured.

What operators of text formats say already is asked of them, so both say the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.wrappers_pb2 import BytesValue

from proxy.access_log.operators import OPERATORS
from proxy.config.common import Address, SocketAddress
from proxy.errors import Flag
from proxy.http import stream_data
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo

if TYPE_CHECKING:
    from proxy.net.tls.certificate import CertificateFacts
    from proxy.net.tls.session import TlsSession

_VERSIONS = {"HTTP/1.0": "HTTP10", "HTTP/1.1": "HTTP11", "HTTP/2": "HTTP2"}
_TLS_VERSIONS = {"TLSv1": "TLSv1", "TLSv1.1": "TLSv1_1", "TLSv1.2": "TLSv1_2", "TLSv1.3": "TLSv1_3"}
_FLAGS = {
    Flag.FAILED_LOCAL_HEALTH_CHECK: "failed_local_healthcheck",
    Flag.NO_HEALTHY_UPSTREAM: "no_healthy_upstream",
    Flag.UPSTREAM_REQUEST_TIMEOUT: "upstream_request_timeout",
    Flag.LOCAL_RESET: "local_reset",
    Flag.UPSTREAM_REMOTE_RESET: "upstream_remote_reset",
    Flag.UPSTREAM_CONNECTION_FAILURE: "upstream_connection_failure",
    Flag.UPSTREAM_CONNECTION_TERMINATION: "upstream_connection_termination",
    Flag.UPSTREAM_OVERFLOW: "upstream_overflow",
    Flag.NO_ROUTE_FOUND: "no_route_found",
    Flag.DELAY_INJECTED: "delay_injected",
    Flag.FAULT_INJECTED: "fault_injected",
    Flag.RATE_LIMITED: "rate_limited",
    Flag.RATE_LIMIT_SERVICE_ERROR: "rate_limit_service_error",
    Flag.DOWNSTREAM_CONNECTION_TERMINATION: "downstream_connection_termination",
    Flag.UPSTREAM_RETRY_LIMIT_EXCEEDED: "upstream_retry_limit_exceeded",
    Flag.STREAM_IDLE_TIMEOUT: "stream_idle_timeout",
    Flag.INVALID_ENVOY_REQUEST_HEADERS: "invalid_envoy_request_headers",
    Flag.DOWNSTREAM_PROTOCOL_ERROR: "downstream_protocol_error",
    Flag.DOWNSTREAM_REMOTE_RESET: "downstream_remote_reset",
    Flag.UPSTREAM_MAX_STREAM_DURATION_REACHED: "upstream_max_stream_duration_reached",
    Flag.RESPONSE_FROM_CACHE_FILTER: "response_from_cache_filter",
    Flag.NO_FILTER_CONFIG_FOUND: "no_filter_config_found",
    Flag.DURATION_TIMEOUT: "duration_timeout",
    Flag.UPSTREAM_PROTOCOL_ERROR: "upstream_protocol_error",
    Flag.NO_CLUSTER_FOUND: "no_cluster_found",
    Flag.OVERLOAD_MANAGER: "overload_manager",
    Flag.DNS_RESOLUTION_FAILED: "dns_resolution_failure",
}
"""Those that have a field; `UAEX` has a message of its own."""

_MOMENTS = {
    "time_to_last_rx_byte": "request_received",
    "time_to_first_upstream_tx_byte": "request_begun",
    "time_to_last_upstream_tx_byte": "request_sent",
    "time_to_first_upstream_rx_byte": "response_begun",
    "time_to_last_upstream_rx_byte": "response_received",
    "time_to_first_downstream_tx_byte": "response_out",
    "time_to_last_downstream_tx_byte": "ended",
    "duration": "ended",
}
"""Fields that are times since the beginning, by what they are the time of."""

_COMMON = {
    name: OPERATORS[operator](None)
    for name, operator in {
        "downstream_transport_failure_reason": "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
        "connection_termination_details": "CONNECTION_TERMINATION_DETAILS",
        "downstream_wire_bytes_sent": "DOWNSTREAM_WIRE_BYTES_SENT",
        "downstream_wire_bytes_received": "DOWNSTREAM_WIRE_BYTES_RECEIVED",
        "upstream_wire_bytes_sent": "UPSTREAM_WIRE_BYTES_SENT",
        "upstream_wire_bytes_received": "UPSTREAM_WIRE_BYTES_RECEIVED",
    }.items()
}
_REQUEST_HEADERS = {
    "user_agent": b"user-agent",
    "referer": b"referer",
    "forwarded_for": b"x-forwarded-for",
    "request_id": b"x-request-id",
    "original_path": b"x-envoy-original-path",
}


def packer(kind: str, log_name: str, node: tuple[str, str]) -> Callable[[list[Any], bool], bytes]:
    """What makes messages of a stream out of entries of its kind, "http" or "tcp"."""

    def pack(entries: list[Any], first: bool) -> bytes:
        message = als_pb2.StreamAccessLogsMessage()
        if first:
            message.identifier.log_name = log_name
            message.identifier.node.CopyFrom(base_pb2.Node(id=node[0], cluster=node[1], user_agent_name="trireme"))
        logs = message.http_logs if kind == "http" else message.tcp_logs
        logs.log_entry.extend(entries)
        data: bytes = message.SerializeToString()
        return data

    return pack


def http_entry(
    info: StreamInfo,
    filter_state: Sequence[str],
    request_headers: Sequence[bytes],
    response_headers: Sequence[bytes],
    response_trailers: Sequence[bytes],
) -> Any:
    """An `HTTPAccessLogEntry`; the names are those of fields and objects to be in it."""
    entry = accesslog_pb2.HTTPAccessLogEntry()
    _common(entry.common_properties, info, filter_state)
    request, response = info.request, entry.response
    if request is not None:
        entry.protocol_version = _VERSIONS.get(request.protocol, "PROTOCOL_UNSPECIFIED")
        _request(entry.request, info, request_headers)
    entry.request.request_body_bytes = info.bytes_received
    entry.request.upstream_header_bytes_sent = _number("UPSTREAM_HEADER_BYTES_SENT", info)
    entry.request.downstream_header_bytes_received = _number("DOWNSTREAM_HEADER_BYTES_RECEIVED", info)
    if info.status:
        response.response_code.value = info.status
    response.response_body_bytes = info.bytes_sent
    response.response_code_details = info.detail
    response.upstream_header_bytes_received = _number("UPSTREAM_HEADER_BYTES_RECEIVED", info)
    response.downstream_header_bytes_sent = _number("DOWNSTREAM_HEADER_BYTES_SENT", info)
    if info.response_headers is not None:
        response.response_headers_bytes = _size(info.response_headers) + len(b":status200")
        _pick(response.response_headers, info.response_headers, response_headers)
    if info.response_trailers is not None:
        _pick(response.response_trailers, info.response_trailers, response_trailers)
    return entry


def tcp_entry(info: StreamInfo, filter_state: Sequence[str]) -> Any:
    """A `TCPAccessLogEntry`."""
    entry = accesslog_pb2.TCPAccessLogEntry()
    _common(entry.common_properties, info, filter_state)
    entry.connection_properties.received_bytes = info.bytes_received
    entry.connection_properties.sent_bytes = info.bytes_sent
    return entry


def _request(message: Any, info: StreamInfo, wanted: Sequence[bytes]) -> None:
    request = info.request
    assert request is not None
    method = request.method.decode("latin-1")
    known = base_pb2.RequestMethod.keys()
    message.request_method = method if method in known else "METHOD_UNSPECIFIED"
    message.scheme, message.authority = _text(request.scheme), _text(request.authority)
    message.path = _text(request.path)
    for name, header in _REQUEST_HEADERS.items():
        if value := request.headers.joined(header):
            setattr(message, name, _text(value))
    pseudo = {
        b":method": request.method,
        b":scheme": request.scheme,
        b":authority": request.authority,
        b":path": request.path,
    }
    whole = Headers([*pseudo.items(), *request.headers])
    message.request_headers_bytes = _size(whole)
    _pick(message.request_headers, whole, wanted)


def _common(message: Any, info: StreamInfo, filter_state: Iterable[str]) -> None:
    connection = info.connection
    if connection is not None:
        _place(message.downstream_direct_remote_address, connection.remote)
        _place(message.downstream_local_address, connection.local)
        if connection.tls is not None:
            _tls(message.tls_properties, connection.tls)
    _place(
        message.downstream_remote_address,
        info.downstream_remote or (connection.remote if connection is not None else None),
    )
    message.start_time.FromNanoseconds(round(info.started_at * 1e9))
    for name, moment in _MOMENTS.items():
        reached = getattr(info, moment)
        if reached and (info.is_http or name != "time_to_last_downstream_tx_byte"):
            getattr(message, name).FromNanoseconds(max(0, round((reached - info.started) * 1e9)))
    _place(message.upstream_remote_address, info.upstream_host)
    _place(message.upstream_local_address, info.upstream_local)
    if info.upstream_host is not None or info.upstream_tried is not None:
        message.upstream_cluster = info.upstream_cluster
    message.route_name = info.route_name
    message.upstream_transport_failure_reason = info.upstream_failure
    for flag in info.flags:
        if flag in _FLAGS:
            setattr(message.response_flags, _FLAGS[flag], True)
        elif flag is Flag.UNAUTHORIZED_EXTERNAL_SERVICE:
            message.response_flags.unauthorized_details.reason = "EXTERNAL_SERVICE"
    if info.dynamic_metadata:
        json_format.ParseDict({"filterMetadata": info.dynamic_metadata}, message.metadata)
    for key in filter_state:
        if info.filter_state is not None and key in info.filter_state:
            packed = AnyMessage()
            packed.Pack(BytesValue(value=stream_data.text(info.filter_state[key])))
            message.filter_state_objects[key].CopyFrom(packed)
    for name, get in _COMMON.items():
        if value := get(info):
            setattr(message, name, _text(value) if isinstance(value, bytes) else value)
    message.upstream_request_attempt_count = info.upstream_attempts
    if not info.is_http:
        message.stream_id = str(uuid.uuid4())
    elif info.request is not None and (number := info.request.headers.get(b"x-request-id")):
        message.stream_id = _text(number)
    message.access_log_type = info.log_type.decode()


def _tls(message: Any, tls: TlsSession) -> None:
    message.tls_version = _TLS_VERSIONS.get(tls.version, "VERSION_UNSPECIFIED")
    message.tls_sni_hostname = tls.server_name
    message.tls_session_id = tls.id.hex()
    for part, facts in (("local", tls.local), ("peer", tls.peer)):
        if facts is not None:
            _certificate(getattr(message, f"{part}_certificate_properties"), facts)


def _certificate(message: Any, facts: CertificateFacts) -> None:
    message.subject = facts.subject
    for kind, name in facts.sans:
        if kind in ("URI", "DNS"):
            setattr(message.subject_alt_name.add(), kind.lower(), name)


def _place(message: Any, address: Address | None) -> None:
    if isinstance(address, SocketAddress):
        message.CopyFrom(
            address_pb2.Address(socket_address=address_pb2.SocketAddress(address=address.host, port_value=address.port))
        )
    elif address is not None:
        message.CopyFrom(address_pb2.Address(pipe=address_pb2.Pipe(path=address.path)))


def _pick(message: Any, headers: Headers, wanted: Iterable[bytes]) -> None:
    for name in wanted:
        if (value := headers.joined(name)) is not None:
            message[name.decode()] = _text(value)


_numbers = {
    name: OPERATORS[name](None)
    for name in (
        "UPSTREAM_HEADER_BYTES_SENT",
        "DOWNSTREAM_HEADER_BYTES_RECEIVED",
        "UPSTREAM_HEADER_BYTES_RECEIVED",
        "DOWNSTREAM_HEADER_BYTES_SENT",
    )
}


def _number(operator: str, info: StreamInfo) -> int:
    value = _numbers[operator](info)
    return value if isinstance(value, int) else 0


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) for name, value in headers)


def _text(value: bytes) -> str:
    """Protobuf takes nothing but UTF-8."""
    return value.decode("utf-8", "replace")
