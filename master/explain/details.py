"""Every response code detail that our code can emit, in words. `*` stands for what varies.

A test walks the source: a detail without a row here fails it. The names are Envoy's where Envoy has one
(`StreamInfo::ResponseCodeDetails`, features §13 rules 28 and 30).
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from master.explain import tls_details, upstream_tls_details
from master.explain.detail import Detail

_CURL = "`curl -v` with the client's own request shows its bytes"
_HEADERS = "which header is so large? Cookies and tokens are the usual ones"
_RESET = "upstream_reset_before_response_started{%s}"
_AFTER = "upstream_reset_after_response_started{%s}"
_AFTER_WORDS = "the response had begun, so its status stands and the client saw it cut off: "
_BREAKERS = tuple(
    f"CircuitBreakers.Thresholds.{name}" for name in ("max_connections", "max_pending_requests", "max_requests")
)

DETAILS: dict[str, Detail] = {
    # --- the upstream's answer, and ours that were configured
    "via_upstream": Detail("the upstream gave this answer; the proxy passed it on", "upstream", "the upstream's log"),
    "direct_response": Detail("the route itself gives this answer (direct_response, redirect)", "client"),
    "health_check_ok": Detail("the health check filter says that the proxy is well", "client"),
    "health_check_ok_cluster_healthy": Detail(
        "the health check filter says that enough hosts of its clusters are well", "client"
    ),
    "health_check_cached": Detail(
        "the health check filter says again what the upstream has said last", "upstream", "cache_time of the filter"
    ),
    "health_check_failed": Detail(
        "the proxy's own health check is failed", "us", "`proxyctl healthcheck ok` takes /healthcheck/fail back"
    ),
    "health_check_failed_no_cluster_found": Detail(
        "cluster_min_healthy_percentages of the health check filter names a cluster that there is not", "us",
        "the filter's configuration",
    ),
    "health_check_failed_cluster_empty": Detail(
        "a cluster of the health check filter has no hosts", "upstream", "`proxyctl clusters`"
    ),
    "health_check_failed_cluster_unhealthy": Detail(
        "fewer hosts of a cluster are well than the health check filter wants", "upstream", "`proxyctl clusters`"
    ),
    "internal_redirect": Detail(
        "the proxy followed this redirect itself: the next entry of the log is the request that it became", "client",
        "the route's internal_redirect_policy",
    ),
    # --- routing
    "route_not_found": Detail("no virtual host or route takes this request", "client"),
    "dns_resolution_failure{*}": Detail(
        "the host that the request names could not be resolved", "client",
        "in braces: `no_records`: the name servers know no such name; `server_failure`, `resolve_timeout`: they failed "
        "or did not answer; `bad_name`: it is none. `dns_cache.<name>.*` counts",
    ),
    "dns_cache_overflow": Detail(
        "requests have named more hosts than the DNS cache may hold", "client",
        "DnsCacheConfig.max_hosts, and whether the route's domains let clients name whatever they like",
    ),
    "dynamic_forward_proxy_pending_request_overflow": Detail(
        "too many requests wait for addresses of the hosts that they name", "us",
        "DnsCacheCircuitBreakers.max_pending_requests; are the name servers slow?",
    ),
    "cluster_not_found": Detail("the route or the TCP proxy names a cluster that does not exist", "us"),
    "filter_chain_not_found": Detail(
        "no filter chain of the listener matches the connection: not its server name, not its origin", "client",
        "does the client ask for a name in `filter_chain_match.server_names`, and for any at all (SNI)? A "
        "`default_filter_chain` takes whoever is left over",
    ),
    "filter_chain_not_terminated": Detail(
        "no HTTP filter answered the request: the last one must be a terminal one", "us",
        "`http_filters` of the connection manager must end with envoy.filters.http.router",
    ),
    "filter_chain_without_response": Detail(
        "the HTTP filters ended without an answer: one of them neither answered nor called the next", "us",
        "the filters in Python of this connection manager",
    ),
    "filter_exception{*}": Detail(
        "a filter raised an exception: its file, line and class are in braces", "us", "the traceback is in the log",
    ),
    "response_payload_too_large": Detail(
        "a filter has to hold the whole response, which is larger than it may be", "upstream",
        "`per_connection_buffer_limit_bytes` of the listener says how much that is",
    ),
    "grpc_base_64_decode_failed": Detail("the body of a gRPC-Web request is no base64, as its type says", "client"),
    "grpc_base_64_decode_failed_bad_size": Detail("the base64 of a gRPC-Web request breaks off", "client"),
    "early_grpc_json_transcode_failure{*}": Detail(
        "the request is no call of the method that its path names: grpc_json_transcoder has told why in the reply",
        "client", "the query, and the `google.api.http` rule of the method",
    ),
    "grpc_json_transcode_failure{*}": Detail(
        "a body could not be translated between JSON and gRPC, or is larger than it may be: the reply tells why",
        "client", "the body, and `max_request_body_size` and `max_response_body_size` of grpc_json_transcoder",
    ),
    "grpc_bridge_data_too_small": Detail("the request's body is too short for a gRPC message", "client"),
    "grpc_bridge_content_type_wrong": Detail(
        "the upstream's answer has not the content type that grpc_http1_reverse_bridge asks for", "upstream",
        "the upstream's log; `content_type` of the filter",
    ),
    "grpc_bridge_content_length_missing": Detail(
        "the upstream does not say how long its message is", "upstream", "`response_size_header` of the filter",
    ),
    "grpc_bridge_content_length_wrong": Detail(
        "the upstream's message is not as long as it has said", "upstream", "`response_size_header` of the filter",
    ),
    "stream_data_too_large": Detail(
        "filters wrote more dynamic metadata and filter state at this request than may be held (256 KiB)", "us",
        "set_metadata, set_filter_state and the filters in Python of this connection manager",
    ),
    "dynamic_module": Detail("a filter in Python gave this answer", "client", "the filter's own code"),
    "upgrade_failed": Detail(
        "the client asked for an upgrade (WebSocket), which this connection manager does not allow", "client",
        "upgrade_configs of the connection manager or route",
    ),
    "tunnel_refused_by_upstream": Detail(
        "the other proxy did not agree to the tunnel that was asked of it (CONNECT or POST)", "upstream",
        "`tunneling_config` of the TCP proxy, and what the other proxy allows; the log's "
        "`%UPSTREAM_TRANSPORT_FAILURE_REASON%` has its status",
    ),
    "upgrade_not_offered_by_upstream": Detail(
        "the client asked for an upgrade (WebSocket), and the host, which speaks HTTP/2, has not said that it takes "
        "any (SETTINGS_ENABLE_CONNECT_PROTOCOL)", "upstream", "`allow_connect` of the host, or HTTP/1.1 to it",
    ),
    "request_headers_failed_strict_check{*}": Detail(
        "the header in braces, with which a request from inside asks for retries or times, makes no sense", "client",
        "strict_check_headers of the router",
    ),
    "websocket_handshake_unsuccessful": Detail(
        "the upstream answered an upgrade (WebSocket) with 200 instead of 101, so its body was dropped", "upstream",
        "a path that is no WebSocket at the upstream",
    ),
    # --- the upstream
    "no_healthy_upstream": Detail("the cluster has no host that may be used", "upstream"),
    _RESET % "local_connection_failure|failed_to_bind*": Detail(
        "the connection could not be given its source address: the kernel's words are in braces", "us",
        "`upstream_bind_config.source_address`: is it an address of this machine's, of the host's version of IP, and, "
        "with a port, free?",
    ),
    _RESET % "local_connection_failure*": Detail(
        "the kernel did not take the socket options of the cluster", "us",
        "`upstream_bind_config.socket_options`: level and name of each are setsockopt(2)'s; some want privileges that "
        "workers do not have",
    ),
    **upstream_tls_details.DETAILS,
    _RESET % "remote_connection_failure": Detail(
        "the host closed the connection in the middle of the TLS handshake", "upstream",
        "the host's own log; does it speak TLS at all, on this port?",
    ),
    _RESET % "remote_connection_failure*": Detail(
        "the connection to the host failed", "upstream"
    ),
    _RESET % "connection_timeout": Detail(
        "the host did not accept the connection, or complete its TLS handshake, in time", "upstream",
        "a host that answers nothing at all is usually gone, or behind a firewall that drops packets",
        ("Cluster.connect_timeout",),
    ),
    _RESET % "connection_termination": Detail("the host closed the connection before it sent a byte", "upstream"),
    _RESET % "remote_reset": Detail(
        "the host reset the request's stream (HTTP/2), or its response's head was larger than is taken", "upstream",
        "`http2.header_overflow` and `http2.header_list_size_too_large` of the cluster count such heads",
    ),
    _RESET % "remote_refused_stream_reset": Detail(
        "the host took no more requests on the connection (HTTP/2: REFUSED_STREAM, or GOAWAY), and has not looked at "
        "this one", "upstream", "`retry_on: refused-stream` sends it again",
    ),
    _RESET % "protocol_error": Detail("the host's answer broke HTTP", "upstream"),
    _RESET % "overflow": Detail("a circuit breaker of the cluster was full", "us", "", _BREAKERS),
    _AFTER % "connection_termination": Detail(_AFTER_WORDS + "the host closed the connection", "upstream"),
    _AFTER % "remote_reset": Detail(_AFTER_WORDS + "the host reset its stream (HTTP/2)", "upstream"),
    _AFTER % "remote_refused_stream_reset": Detail(
        _AFTER_WORDS + "the host ended it as if it had refused it (HTTP/2: REFUSED_STREAM)", "upstream"
    ),
    _AFTER % "connection_timeout": Detail(_AFTER_WORDS + "the connection timed out", "upstream"),
    _AFTER % "local_connection_failure*": Detail(_AFTER_WORDS + "there was no connection", "us"),
    _AFTER % "remote_connection_failure*": Detail(_AFTER_WORDS + "the connection failed", "upstream"),
    _AFTER % "protocol_error": Detail(_AFTER_WORDS + "the rest of it broke HTTP or never came", "upstream"),
    _AFTER % "overflow": Detail(_AFTER_WORDS + "a circuit breaker was full", "us", "", _BREAKERS),
    "connection_termination": Detail("the upstream closed the connection", "upstream"),
    "http1.surplus_data": Detail("the upstream sent more bytes than its response has", "upstream"),
    "http1.truncated_response": Detail("the upstream's response ended early", "upstream"),
    "http1.too_many_informational_responses": Detail("the upstream sent one 1xx response after the other", "upstream"),
    "http1.unexpected_switching_protocols": Detail(
        "the upstream switched protocols (101) although nobody asked it to", "upstream"
    ),
    "http1.body_disallowed": Detail("a body came with a message that may not have one", "upstream"),
    "http1.content_length_not_allowed": Detail("a Content-Length where none may be (1xx, 204)", "upstream"),
    # --- time
    "response_timeout": Detail(
        "the upstream had not finished its response in time; the clock runs from the end of the request, over all "
        "attempts", "upstream", "", ("RouteAction.timeout",),
    ),
    "upstream_per_try_timeout": Detail(
        "the upstream had not begun its response in the time of one attempt, and no retry was left", "upstream", "",
        ("RetryPolicy.per_try_timeout",),
    ),
    "upstream_per_try_idle_timeout": Detail(
        "nothing came from the upstream for too long within one attempt", "upstream", "",
        ("RetryPolicy.per_try_idle_timeout",),
    ),
    "upstream_max_stream_duration_reached": Detail(
        "the attempt had lasted as long as one to this cluster may", "upstream", "",
        ("HttpProtocolOptions.max_stream_duration",),
    ),
    "retried_after_response{*}": Detail("the upstream's answer was one to be retried", "upstream"),
    "max_duration_timeout": Detail(
        "the exchange had lasted as long as one may, from the request's first byte to the response's last", "us",
        "long downloads and streams need a longer time, or none (0)",
        ("RouteAction.MaxStreamDuration.max_stream_duration", "HttpProtocolOptions.max_stream_duration"),
    ),
    "stream_idle_timeout": Detail(
        "no byte moved in either direction for too long", "upstream", "", ("HttpConnectionManager.stream_idle_timeout",)
    ),
    "request_header_timeout": Detail(
        "the client did not finish its request's headers in time", "client",
        "a slow or hostile client; TCP health checks that connect and say nothing look like this, too",
        ("HttpConnectionManager.request_headers_timeout",),
    ),
    "request_overall_timeout": Detail(
        "the client did not finish its request, body included, in time", "client",
        "large uploads over slow links need a longer time, or none (0)", ("HttpConnectionManager.request_timeout",),
    ),
    "tcp_session_idle_timeout": Detail(
        "no byte moved in either direction of the TCP connection for too long", "client",
        "keep-alives of the protocol inside must come more often than that, or the timeout must be longer",
        ("TcpProxy.idle_timeout",),
    ),
    "max_connection_duration_reached": Detail(
        "the TCP connection had lasted as long as one may", "us", "", ("TcpProxy.max_downstream_connection_duration",)
    ),
    "downstream_local_disconnect": Detail(
        "the proxy was draining or stopping, and the time for what was in hand was over", "us",
        "`run --drain-time-s`, `--parent-shutdown-time-s` and `--shutdown-drain-time-s` say how long that is",
    ),
    # --- the client
    "downstream_remote_disconnect": Detail("the client closed its connection, or was cut off", "client"),
    "request_payload_too_large": Detail(
        "the request's body is larger than what may be buffered for it", "client",
        "a filter wants the whole body in memory; its limit decides (per route too), not the upstream",
    ),
    "path_normalization_failed": Detail("the request's path holds what no path may (a fragment)", "client", _CURL),
    "missing_host_header": Detail("an HTTP/1.1 request without a Host header (RFC 9112 3.2)", "client", _CURL),
    "low_version": Detail(
        "an HTTP/1.0 request, which is not accepted", "client",
        "old health checkers and load testers (`ab`) speak HTTP/1.0; give them HTTP/1.1",
    ),
    "http1.unsupported_version": Detail("the request claims an HTTP version that this is not", "client", _CURL),
    "http1.codec_error": Detail(
        "the bytes are no HTTP/1.1 message", "client",
        "a client that speaks TLS to a plaintext port looks like this, too",
    ),
    "http1.invalid_characters": Detail("the head holds control characters (RFC 9110 5.5)", "client", _CURL),
    "http1.invalid_url": Detail("the request's target is no valid one (RFC 9112 3.2)", "client", _CURL),
    "http1.invalid_scheme": Detail("the request's target has a scheme that is not HTTP's", "client", _CURL),
    "http.invalid_authority": Detail("the Host is not a host with an optional port", "client", _CURL),
    "http1.headers_too_large": Detail(
        "the request's headers are larger than allowed", "client", _HEADERS,
        ("HttpConnectionManager.max_request_headers_kb",),
    ),
    "http1.too_many_headers": Detail(
        "the request has more header lines than allowed", "client", _HEADERS, ("HttpProtocolOptions.max_headers_count",)
    ),
    "http1.invalid_transfer_encoding": Detail(
        "a transfer coding other than exactly `chunked`: proxy and upstream could disagree where the message ends",
        "client", _CURL,
    ),
    "http1.transfer_encoding_not_allowed": Detail(
        "Transfer-Encoding where it may not be (HTTP/1.0, CONNECT, 1xx, 204)", "client", _CURL
    ),
    "http1.content_length_and_chunked_not_allowed": Detail(
        "Content-Length and Transfer-Encoding in one message: the mark of request smuggling (RFC 9112 6.1)", "client",
        _CURL,
    ),
    "http1.connection_header_rejected": Detail(
        "`connection` names headers that no client may have removed, or too many", "client", _CURL
    ),
    "http2.remote_reset": Detail("the client reset the stream", "client", "a client's own timeout looks like this"),
    "http2.remote_refuse": Detail("the client refused the stream", "client"),
    "http2.invalid.header.field": Detail(
        "a header, or part of the request's target, holds what may not be there (RFC 9113 8.2)", "client",
    ),
    "http2.violation.of.messaging.rule": Detail(
        "the request is no valid message: a part of its target is missing or repeated, or the body is not as long as "
        "announced (RFC 9113 8.1.1)", "client",
    ),
    "http2.too_many_headers": Detail(
        "the request has more header fields than allowed", "client", _HEADERS,
        ("HttpProtocolOptions.max_headers_count",),
    ),
    "http2.header_list_size_too_large": Detail(
        "the request's headers are larger than allowed", "client", _HEADERS,
        ("HttpConnectionManager.max_request_headers_kb",),
    ),
    "http2.refused": Detail(
        "the connection had as many streams as it may, or was about to end; the client may try again", "client", "",
        ("Http2ProtocolOptions.max_concurrent_streams",),
    ),
    "http2.ping_timeout": Detail(
        "the client did not answer a PING in time", "client", "", ("KeepaliveSettings.timeout",),
    ),
    "http2.too_many_settings": Detail("the client sent more than 32 settings at once: an attack, or a fault", "client"),
    "http2.*_flood": Detail(
        "the client sent more frames that ask for work than its requests explain", "client",
        "the stat of the same name counts such connections; the limits are fields of Http2ProtocolOptions",
    ),
    "too_many_premature_resets": Detail(
        "the client reset too many of its requests before their answer (CVE-2023-44487)", "client",
    ),
    "http2.body_longer_than_content_length": Detail(
        "the request's body is longer than its Content-Length: a filter changed it", "us",
        "which filter changes bodies on this route?",
    ),
    "http2.body_shorter_than_content_length": Detail(
        "the request's body is shorter than its Content-Length: a filter changed it", "us",
        "which filter changes bodies on this route?",
    ),
    "http2.unwritable_*": Detail(
        "a message could not be written safely: its bytes could have been read as something else", "us",
        "which filter, header rule or upstream produced this value?",
    ),
    "http2.*": Detail("the client's bytes broke HTTP/2 (RFC 9113)", "client"),
    "http1.unexpected_underscore": Detail(
        "a header's name has an underscore, which some upstreams take for a hyphen", "client",
        "`headers_with_underscores_action: DROP_HEADER` drops such headers instead",
    ),
    "absolute_path_rejected": Detail(
        "the request's target is not a path: `*`, or a whole URL", "client",
        "`allow_absolute_url` (the default) takes URLs",
    ),
    **tls_details.DETAILS,
    # --- us
    "internal_error": Detail(
        "a filter raised an exception: a bug in the proxy or in a filter of yours", "us",
        "the traceback below, and in the worker's log",
    ),
    "http1.unwritable_*": Detail(
        "a message could not be written safely: its bytes could have been read as something else", "us",
        "which filter, header rule or upstream produced this value?",
    ),
    "http1.body_longer_than_content_length": Detail(
        "the body is longer than its Content-Length: a filter changed it, or the upstream lied", "us",
        "which filter changes bodies on this route?",
    ),
    "http1.body_shorter_than_content_length": Detail(
        "the body is shorter than its Content-Length: a filter changed it, or the upstream lied", "us",
        "which filter changes bodies on this route?",
    ),
}  # fmt: skip


def find(detail: str) -> Detail | None:
    """The row of `detail`, by its own name or by a pattern."""
    exact = DETAILS.get(detail)
    if exact is not None:
        return exact
    return next((row for pattern, row in DETAILS.items() if "*" in pattern and matches(detail, pattern)), None)


def matches(detail: str, pattern: str) -> bool:
    """Whether the row called `pattern` is about `detail`."""
    return fnmatchcase(detail, pattern.replace("[", "[[]"))
