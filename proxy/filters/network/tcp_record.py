"""What the flight recorder keeps of a TCP connection that failed, or that a timeout ended."""

from __future__ import annotations

from proxy.config.cluster import Cluster
from proxy.errors import Flag
from proxy.filters.network.recorded_limits import Limits, limits_of_cluster
from proxy.filters.network.tcp_proxy_config import Config
from proxy.flight_recorder import Record, Recorder, now
from proxy.http.stream_info import StreamInfo
from proxy.net.connection import Connection

IDLE_TIMEOUT = "tcp_session_idle_timeout"
MAX_DURATION = "max_connection_duration_reached"
"""Envoy's reasons for ending a connection (`StreamInfo::LocalCloseReasons`)."""


def add(
    info: StreamInfo,
    detail: str,
    connection: Connection,
    *,
    listener: str,
    config: Config,
    cluster: Cluster | None,
    recorder: Recorder,
) -> None:
    """Record the connection, which did not end well. `detail` says why, as far as that is known."""
    recorder.add(
        Record(
            now(),
            "failed",
            recorder.worker,
            protocol="TCP",
            downstream=str(connection.remote or ""),
            listener=listener,
            cluster=info.upstream_cluster,
            upstream=str(info.upstream_host or ""),
            flags=info.response_flags(),
            detail=detail,
            attempts=info.attempts,
            attempts_total=len(info.attempts),
            total_ms=round((info.ended - info.started) * 1000, 3),
            bytes_received=info.bytes_received,
            bytes_sent=info.bytes_sent,
            limits=_limits(info, detail, config, cluster),
        )
    )


def _limits(info: StreamInfo, detail: str, config: Config, cluster: Cluster | None) -> Limits:
    if detail == IDLE_TIMEOUT:
        return {"TcpProxy.idle_timeout": config.idle_timeout}
    if detail == MAX_DURATION:
        return {"TcpProxy.max_downstream_connection_duration": config.max_connection_duration}
    found = limits_of_cluster(detail, cluster) if cluster is not None else {}
    if Flag.UPSTREAM_RETRY_LIMIT_EXCEEDED in info.flags:
        found = {**found, "TcpProxy.max_connect_attempts": config.max_connect_attempts}
    return found
