"""Where the request went: route, cluster, host, and the connection to it."""

from __future__ import annotations

from proxy.access_log.operator import Build, Value, plain
from proxy.access_log.operators.addresses import port, whole, without_port
from proxy.config.common import Address
from proxy.http.stream_info import StreamInfo


def _remote(info: StreamInfo) -> Address | None:
    return info.upstream_remote


def _local(info: StreamInfo) -> Address | None:
    return info.upstream_local


def _failure(info: StreamInfo) -> Value:
    """No spaces, so that a field of the log stays a field."""
    return info.upstream_failure.replace(" ", "_").encode() or None


def _protocol(info: StreamInfo) -> Value:
    """Every upstream speaks HTTP/1.1 so far."""
    return b"HTTP/1.1" if info.is_http and info.upstream_remote is not None else None


OPERATORS: dict[str, Build] = {
    "ROUTE_NAME": plain(lambda info: info.route_name.encode() or None),
    "UPSTREAM_CLUSTER": plain(lambda info: info.upstream_cluster.encode() or None),
    "UPSTREAM_CLUSTER_RAW": plain(lambda info: info.upstream_cluster.encode() or None),
    "UPSTREAM_HOST": plain(whole(lambda info: info.upstream_host)),
    "UPSTREAM_LOCAL_ADDRESS": plain(whole(_local)),
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": plain(without_port(_local)),
    "UPSTREAM_LOCAL_PORT": plain(port(_local)),
    "UPSTREAM_PROTOCOL": plain(_protocol),
    "UPSTREAM_REMOTE_ADDRESS": plain(whole(_remote)),
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": plain(without_port(_remote)),
    "UPSTREAM_REMOTE_PORT": plain(port(_remote)),
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": plain(lambda info: info.upstream_attempts),
    "UPSTREAM_TRANSPORT_FAILURE_REASON": plain(_failure),
    "UPSTREAM_WIRE_BYTES_RECEIVED": plain(lambda info: info.upstream_bytes_received),
    "UPSTREAM_WIRE_BYTES_SENT": plain(lambda info: info.upstream_bytes_sent),
}
