"""Where the request went: route, cluster, host, and the connection to it."""

from __future__ import annotations

from proxy.access_log.operator import Build, Getter, Value, plain
from proxy.access_log.operators.addresses import endpoint_id, masked, port, text_of, whole, without_port
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
    if not info.is_http or info.upstream_remote is None:
        return None
    return info.upstream_connection.protocol.encode() or None if info.upstream_connection is not None else b"HTTP/1.1"


def _name(info: StreamInfo) -> Value:
    """The host's name, or its address if it has none."""
    if info.upstream_host is None:
        return None
    return info.upstream_hostname.encode() or text_of(info.upstream_host)


def _name_without_port(info: StreamInfo) -> Value:
    if not info.upstream_hostname or info.upstream_host is None:
        return _host_without_port(info)
    name, _, number = info.upstream_hostname.rpartition(":")
    return (name if number.isdecimal() and name else info.upstream_hostname).encode()


def _reached(get: Getter) -> Getter:
    """Of the last attempt's host, if there was a connection: Envoy forgets the attempts before."""
    return lambda info: None if info.upstream_connection is None else get(info)


def _connection_id(info: StreamInfo) -> Value:
    return info.upstream_connection.id if info.upstream_connection is not None else 0


def _ready(info: StreamInfo) -> Value:
    return int((info.pool_ready - info.attempt_begun) * 1e3) if info.pool_ready else None


def _close_type(info: StreamInfo) -> Value:
    return None if info.is_http and info.upstream_host is None else info.upstream_close_type


_host = whole(lambda info: info.upstream_host)
_host_without_port = without_port(lambda info: info.upstream_host)


OPERATORS: dict[str, Build] = {
    "ROUTE_NAME": plain(lambda info: info.route_name.encode() or None),
    "UPSTREAM_CLUSTER": plain(lambda info: info.upstream_cluster.encode() or None),
    "UPSTREAM_CLUSTER_RAW": plain(lambda info: info.upstream_cluster.encode() or None),
    "UPSTREAM_CONNECTION_ID": plain(_connection_id),
    "UPSTREAM_CONNECTION_IDS_ATTEMPTED": plain(_reached(lambda info: str(_connection_id(info)).encode())),
    "UPSTREAM_CONNECTION_POOL_READY_DURATION": plain(_ready),
    "UPSTREAM_DETECTED_CLOSE_TYPE": plain(_close_type),
    "UPSTREAM_HOST": plain(_host),
    "UPSTREAM_HOSTS_ATTEMPTED": plain(_reached(_host)),
    "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT": plain(_reached(_host_without_port)),
    "UPSTREAM_HOST_NAME": plain(_name),
    "UPSTREAM_HOST_NAMES_ATTEMPTED": plain(_reached(_name)),
    "UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT": plain(_reached(_name_without_port)),
    "UPSTREAM_HOST_NAME_WITHOUT_PORT": plain(_name_without_port),
    "UPSTREAM_LOCAL_ADDRESS": plain(whole(_local)),
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": masked(_local),
    "UPSTREAM_LOCAL_PORT": plain(port(_local)),
    "UPSTREAM_PROTOCOL": plain(_protocol),
    "UPSTREAM_REMOTE_ADDRESS": plain(whole(_remote)),
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": masked(_remote),
    "UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID": plain(endpoint_id(_remote)),
    "UPSTREAM_REMOTE_PORT": plain(port(_remote)),
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": plain(lambda info: info.upstream_attempts),
    "UPSTREAM_TRANSPORT_FAILURE_REASON": plain(_failure),
    "VIRTUAL_CLUSTER_NAME": plain(lambda info: info.virtual_cluster.encode() or None),
}
