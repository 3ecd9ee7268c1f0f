"""`proxy-status` (RFC 9209): the client is told why its request failed, in words that every proxy uses.

Which error a flag stands for is Envoy's choice (`ProxyStatusUtils::fromStreamInfo`); of several flags the first one
here counts. What the codec refuses has none: Envoy has no flag yet when it answers that.
"""

from __future__ import annotations

from proxy.config.proxy_status import ProxyStatus
from proxy.errors import Flag
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo

NAME = b"proxy-status"

_ERRORS: dict[Flag, tuple[bytes, int]] = {
    Flag.FAILED_LOCAL_HEALTH_CHECK: (b"destination_unavailable", 503),
    Flag.NO_HEALTHY_UPSTREAM: (b"destination_unavailable", 503),
    Flag.UPSTREAM_REQUEST_TIMEOUT: (b"http_response_timeout", 504),
    Flag.LOCAL_RESET: (b"connection_timeout", 504),
    Flag.UPSTREAM_REMOTE_RESET: (b"connection_terminated", 502),
    Flag.UPSTREAM_CONNECTION_FAILURE: (b"connection_refused", 502),
    Flag.UPSTREAM_CONNECTION_TERMINATION: (b"connection_terminated", 502),
    Flag.UPSTREAM_OVERFLOW: (b"connection_limit_reached", 503),
    Flag.NO_ROUTE_FOUND: (b"destination_not_found", 500),
    Flag.RATE_LIMITED: (b"connection_limit_reached", 503),
    Flag.RATE_LIMIT_SERVICE_ERROR: (b"connection_limit_reached", 503),
    Flag.UPSTREAM_RETRY_LIMIT_EXCEEDED: (b"destination_unavailable", 503),
    Flag.STREAM_IDLE_TIMEOUT: (b"http_response_timeout", 504),
    Flag.INVALID_ENVOY_REQUEST_HEADERS: (b"http_request_error", 0),
    Flag.UPSTREAM_MAX_STREAM_DURATION_REACHED: (b"http_response_timeout", 504),
    Flag.NO_FILTER_CONFIG_FOUND: (b"proxy_configuration_error", 500),
    Flag.UPSTREAM_PROTOCOL_ERROR: (b"http_protocol_error", 502),
    Flag.NO_CLUSTER_FOUND: (b"destination_unavailable", 503),
    Flag.DNS_RESOLUTION_FAILED: (b"dns_error", 502),
}
"""Flag → the error, and the status that RFC 9209 section 2.3 recommends for it (0: none, it is the client's fault)."""


def tell(config: ProxyStatus, info: StreamInfo, headers: Headers, status: int) -> int:
    """Add our member to the `proxy-status` of a response that failed; returns the status that it is to have."""
    flag = next((flag for flag in _ERRORS if flag in info.flags), None)
    if flag is None:
        return status
    error, recommended = _ERRORS[flag]
    member = b"%b; error=%b" % (config.name.encode(), error)
    details = [info.detail] if info.detail else []
    if config.flags:
        details.append(info.response_flags())
    if config.details and info.detail:
        member += b'; details="%b"' % "; ".join(details).encode()
    theirs = headers.joined(NAME)
    headers.set(NAME, theirs + b", " + member if theirs else member)
    return recommended if recommended and config.recommends else status
