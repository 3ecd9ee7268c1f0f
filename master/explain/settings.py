"""The settings that decide over failures: Envoy's field, in words, with its unit and default."""

from __future__ import annotations

from typing import NamedTuple


class Setting(NamedTuple):
    """`words` complete "… of 15 s"; `default` is Envoy's, in `unit`; 0 seconds mean that there is no limit. `source` is
    where another value comes from.
    """

    words: str
    default: float
    unit: str = "s"
    source: str = "configured"


SETTINGS: dict[str, Setting] = {
    "RouteAction.timeout": Setting("the route's timeout", 15),
    "x-envoy-upstream-rq-timeout-ms": Setting("the timeout that the request asked for", 0, source="a header"),
    "RouteAction.idle_timeout": Setting("the route's idle timeout", 0),
    "RouteAction.MaxStreamDuration.max_stream_duration": Setting("the time that an exchange on this route may last", 0),
    "RetryPolicy.per_try_timeout": Setting("the time of one attempt", 0),
    "RetryPolicy.per_try_idle_timeout": Setting("the idle time of one attempt", 0),
    "x-envoy-upstream-rq-per-try-timeout-ms": Setting("the time of one attempt", 0, source="a header"),
    "HttpProtocolOptions.max_stream_duration": Setting("the time that an exchange may last", 0),
    "HttpConnectionManager.stream_idle_timeout": Setting("the connection manager's stream idle timeout", 300),
    "HttpConnectionManager.request_headers_timeout": Setting("the time for a request's headers", 0),
    "HttpConnectionManager.request_timeout": Setting("the time for a whole request to arrive", 0),
    "HttpConnectionManager.max_request_headers_kb": Setting("the limit of a request's headers", 60, "KiB"),
    "HttpProtocolOptions.max_headers_count": Setting("the limit of a request's header lines", 100, "lines"),
    "Http2ProtocolOptions.max_concurrent_streams": Setting("the streams of one HTTP/2 connection", 1024, ""),
    "KeepaliveSettings.timeout": Setting("the time for the answer to a PING", 0),
    "Cluster.connect_timeout": Setting("the cluster's connect timeout", 5),
    "FilterChain.transport_socket_connect_timeout": Setting("the time for a TLS handshake", 15),
    "Listener.listener_filters_timeout": Setting("the time for a client's first bytes", 15),
    "TlsInspector.max_client_hello_size": Setting("the limit of a TLS client's first message", 16384, "bytes"),
    "TcpProxy.idle_timeout": Setting("the TCP proxy's idle timeout", 3600),
    "TcpProxy.max_downstream_connection_duration": Setting("the time that a TCP connection may last", 0),
    "TcpProxy.max_connect_attempts": Setting("the TCP proxy's attempts to connect", 1, ""),
    "CircuitBreakers.Thresholds.max_connections": Setting("the cluster's connections", 1024, ""),
    "CircuitBreakers.Thresholds.max_pending_requests": Setting("the cluster's waiting requests", 1024, ""),
    "CircuitBreakers.Thresholds.max_requests": Setting("the cluster's requests at once", 1024, ""),
}


def describe(field: str, value: float | None) -> str:
    """`the route's timeout of 15 s (RouteAction.timeout, the default)`; without a value, where to find it."""
    setting = SETTINGS.get(field)
    if setting is None:
        return field if value is None else f"{field} = {value:g}"
    unit = f" {setting.unit}" if setting.unit else ""
    if value is None:
        default = f"{setting.default:g}{unit}" if setting.default or setting.unit != "s" else "none"
        return f"{setting.words} ({field}; default {default})"
    origin = "the default" if value == setting.default else setting.source
    return f"{setting.words} of {value:g}{unit} ({field}, {origin})"
