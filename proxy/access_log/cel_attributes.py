"""Envoy's attributes of an exchange, as CEL sees them. What is not there has no key."""

from __future__ import annotations

import base64
import datetime
import importlib
from collections.abc import Callable
from typing import Any

from proxy.access_log.operators import sizes
from proxy.access_log.operators.addresses import text_of as address_text
from proxy.config.common import Address, SocketAddress
from proxy.errors import Flag
from proxy.http import grpc, stream_data
from proxy.http.grpc import GrpcStatus
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo

Attributes = dict[str, Any]

_BITS = {flag: 1 << number for number, flag in enumerate(Flag)}
"""`CoreResponseFlag` in Envoy's order."""


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _map(headers: Headers | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers or ():
        key = _text(name)
        found[key] = f"{found[key]},{_text(value)}" if key in found else _text(value)
    return found


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _moment(seconds: float) -> Any:
    """A `Timestamp`."""
    return _message("timestamp_pb2").Timestamp(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


def _span(seconds: float) -> Any:
    """A `Duration`."""
    return _message("duration_pb2").Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


def _message(module: str) -> Any:
    """What the CEL library takes for a time. It brings protobuf along; workers without CEL have none."""
    return importlib.import_module(f"google.protobuf.{module}")


def _request(info: StreamInfo) -> Attributes:
    request = info.request
    found: Attributes = {"headers": {}} if request is None else _head(request)
    if request is None:
        if info.is_http:
            found["protocol"] = "HTTP/1.1"
    elif request.protocol:
        found["protocol"] = request.protocol
    length = found["headers"].get("content-length", "")
    found["size"] = int(length) if length.isdecimal() and len(length) < 19 else info.bytes_received
    found["total_size"] = info.bytes_received + _number(sizes.request(info))
    found["time"] = _moment(info.started_at)
    if info.ended:
        found["duration"] = _span(info.ended - info.started)
    return found


def _head(request: Request) -> Attributes:
    path, _, query = _text(request.path).partition("?")
    pseudo = {":authority": request.authority, ":method": request.method, ":path": request.path}
    headers = {name: _text(value) for name, value in {**pseudo, ":scheme": request.scheme}.items() if value}
    headers |= _map(request.headers)
    found = {
        "path": _text(request.path),
        "url_path": path.partition("#")[0],
        "query": query.partition("#")[0],
        "host": _text(request.authority),
        "scheme": _text(request.scheme),
        "method": _text(request.method),
        "headers": headers,
    }
    for key, name in (("referer", "referer"), ("useragent", "user-agent"), ("id", "x-request-id")):
        if name in headers:
            found[key] = headers[name]
    return found


def _response(info: StreamInfo) -> Attributes:
    headers = _map(info.response_headers)
    if info.response_headers is not None:
        headers[":status"] = str(info.status)
    status = grpc.status_of(info.response_headers, info.response_trailers, info.status)
    found: Attributes = {
        "flags": sum(_BITS[flag] for flag in info.flags),
        "headers": headers,
        "trailers": _map(info.response_trailers),
        "size": info.bytes_sent,
        "total_size": info.bytes_sent + _number(sizes.response(info)),
        "grpc_status": int(GrpcStatus.UNKNOWN if status is None else status),
    }
    if info.status:
        found["code"] = info.status
    if info.detail:
        found["code_details"] = info.detail
    if info.request_begun and info.response_received:
        found["backend_latency"] = _span(info.response_received - info.request_begun)
    return found


def _end(address: Address | None) -> Attributes:
    if address is None:
        return {}
    found: Attributes = {"address": _text(address_text(address))}
    if isinstance(address, SocketAddress):
        found["port"] = address.port
    return found


def _source(info: StreamInfo) -> Attributes:
    return _end(info.downstream_remote or (info.connection.remote if info.connection is not None else None))


def _destination(info: StreamInfo) -> Attributes:
    return _end(info.connection.local if info.connection is not None else None)


def _connection(info: StreamInfo) -> Attributes:
    if info.connection is None:
        return {"mtls": False, "requested_server_name": ""}
    found: Attributes = {
        "id": info.connection.id, "mtls": False, "requested_server_name": info.connection.server_name,
    }  # fmt: skip
    tls = info.connection.tls
    if tls is not None:
        found["mtls"] = tls.peer is not None
        found["tls_version"] = tls.version
    return found


def _upstream(info: StreamInfo) -> Attributes:
    found = {**_end(info.upstream_host), "request_attempt_count": info.upstream_attempts}
    if info.upstream_host is not None:
        found["transport_failure_reason"] = info.upstream_failure
    if info.upstream_local is not None:
        found["local_address"] = _text(address_text(info.upstream_local))
    if info.pool_ready:
        found["cx_pool_ready_duration"] = _span(info.pool_ready - info.attempt_begun)
    return found


def _metadata(info: StreamInfo) -> Attributes:
    return {"filter_metadata": {name: dict(struct) for name, struct in (info.dynamic_metadata or {}).items()}}


def _filter_state(info: StreamInfo) -> Attributes:
    return {key: stream_data.text(value) for key, value in (info.filter_state or {}).items()}


def _xds(info: StreamInfo) -> Attributes:
    found: Attributes = {}
    if info.connection is not None:
        found["filter_chain_name"] = info.connection.filter_chain
    if info.entry is not None:
        found["cluster_name"], found["route_name"] = info.upstream_cluster, info.route_name
        found["virtual_host_name"] = info.entry.virtual_host.name
    return found


ATTRIBUTES: dict[str, Callable[[StreamInfo], Attributes]] = {
    "connection": _connection,
    "destination": _destination,
    "filter_state": _filter_state,
    "metadata": _metadata,
    "request": _request,
    "response": _response,
    "source": _source,
    "upstream": _upstream,
    "xds": _xds,
}


def text_of(value: Any) -> bytes:
    """A value as it stands in text, as Envoy prints it."""
    match value:
        case None:
            return b"NULL"
        case bool():
            return b"true" if value else b"false"
        case int():
            return b"%d" % value
        case float():
            return f"{value:g}".encode()
        case str():
            return value.encode(errors="replace")
        case bytes() | bytearray():
            return bytes(value)
        case datetime.timedelta():
            return _duration(value).encode()
        case datetime.datetime():
            return value.isoformat().encode()
        case list():
            return b"CelList value"
        case dict():
            return b"CelMap value"
    return b"CelType value"


def json_of(value: Any) -> Any:
    """The same of JSON's types; None for what has none."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case datetime.timedelta():
            seconds, rest = divmod(round(value / datetime.timedelta(microseconds=1)), 10**6)
            digits = f".{rest // 1000:03}" if rest % 1000 == 0 else f".{rest:06}"
            return f"{seconds}{digits if rest else ''}s"
        case datetime.datetime():
            return value.isoformat().replace("+00:00", "Z")
        case list():
            return [json_of(item) for item in value]
        case dict():
            return {key: json_of(item) for key, item in value.items()} if all(map(_is_text, value)) else None
    return None


def _is_text(key: Any) -> bool:
    return isinstance(key, str)


def _duration(value: datetime.timedelta) -> str:
    """`1h30m`, `2.5s`, `194us` (`absl::FormatDuration`)."""
    micros = round(value / datetime.timedelta(microseconds=1))
    if not micros:
        return "0"
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    if micros < 1000:
        return f"{sign}{micros}us"
    if micros < 10**6:
        return f"{sign}{micros / 1000:g}ms"
    minutes, rest = divmod(micros, 60 * 10**6)
    hours, minutes = divmod(minutes, 60)
    parts = (f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{rest / 10**6:g}s" if rest else "")
    return sign + "".join(parts)
