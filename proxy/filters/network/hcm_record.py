"""What the flight recorder keeps of an exchange: facts of the exchange, and the settings that may have decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.config.route import ClusterAction
from proxy.filters.http.router_headers import PER_TRY_TIMEOUT, TIMEOUT
from proxy.filters.network.hcm_config import Config
from proxy.filters.network.recorded_limits import Limits, limits_of_cluster, limits_of_route
from proxy.filters.network.recorded_request import asked
from proxy.flight_recorder import Record, kind_of, now, text
from proxy.http.exchange import Exchange
from proxy.net.connection import Connection

if TYPE_CHECKING:
    from proxy.filters.network.http_connection_manager import HttpConnectionManager

_OF_MANAGER: dict[str, Callable[[Config], Limits]] = {
    "stream_idle_timeout": lambda config: {"HttpConnectionManager.stream_idle_timeout": config.stream_idle_timeout},
    "max_duration_timeout": lambda config: {"HttpProtocolOptions.max_stream_duration": config.max_stream_duration},
    "request_header_timeout": lambda config: {
        "HttpConnectionManager.request_headers_timeout": config.request_headers_timeout
    },
    "request_overall_timeout": lambda config: {"HttpConnectionManager.request_timeout": config.request_timeout},
    "http1.headers_too_large": lambda config: {
        "HttpConnectionManager.max_request_headers_kb": config.max_request_headers_kb
    },
    "http2.header_list_size_too_large": lambda config: {
        "HttpConnectionManager.max_request_headers_kb": config.max_request_headers_kb
    },
    "http2.too_many_headers": lambda config: {"HttpProtocolOptions.max_headers_count": config.max_headers_count},
    "http2.refused": lambda config: {
        "Http2ProtocolOptions.max_concurrent_streams": config.http2.max_concurrent_streams
    },
    "http1.too_many_headers": lambda config: {"HttpProtocolOptions.max_headers_count": config.max_headers_count},
}


def add(exchange: Exchange, connection: Connection, manager: HttpConnectionManager) -> None:
    """Record the exchange, which has ended, if it failed or was slow."""
    info, recorder = exchange.info, manager.recorder
    kind = kind_of(info, recorder.slow)
    if kind is None:
        return
    request, entry = exchange.request, exchange.route
    reproduced = asked(exchange, manager.headers_read)
    recorder.add(
        Record(
            now(),
            kind,
            recorder.worker,
            request_id=text(request.headers.get(b"x-request-id") or b""),
            method=text(request.method),
            authority=text(request.authority),
            path=text(request.path),
            protocol=request.protocol,
            downstream=str(info.downstream_remote or connection.remote),
            listener=manager.listener,
            route=info.route_name,
            virtual_host=entry.virtual_host.name if entry is not None else "",
            cluster=info.upstream_cluster or _cluster(exchange),
            upstream=str(info.upstream_host or ""),
            status=info.status,
            flags=info.response_flags(),
            detail=info.detail,
            cause=info.cause,
            attempts=info.attempts,
            attempts_total=len(info.attempts),
            request_ms=_milliseconds(info.request_received, info.started) if info.request_complete else -1.0,
            response_ms=_milliseconds(info.response_begun, info.started) if info.response_begun else -1.0,
            total_ms=_milliseconds(info.ended, info.started),
            bytes_received=info.bytes_received,
            bytes_sent=info.bytes_sent,
            limits=limits(exchange, manager),
            url=reproduced.url,
            peer=str(connection.remote) if info.downstream_remote not in (None, connection.remote) else "",
            headers=reproduced.headers,
            reproducible=reproduced.complete,
        )
    )


def limits(exchange: Exchange, manager: HttpConnectionManager) -> Limits:
    """The configured values behind the exchange's detail, by Envoy's field."""
    detail, deadlines = exchange.info.detail, exchange.deadlines
    action = exchange.route.route.action if exchange.route is not None else None
    if isinstance(action, ClusterAction):
        if detail == "response_timeout":
            timeout = deadlines.asked_timeout
            return {"RouteAction.timeout": action.timeout} if timeout is None else {TIMEOUT.decode(): timeout}
        if detail == "upstream_per_try_timeout" and deadlines.asked_per_try_timeout is not None:
            return {PER_TRY_TIMEOUT.decode(): deadlines.asked_per_try_timeout}
        if found := limits_of_route(detail, action):
            return found
    if detail in _OF_MANAGER:
        return _OF_MANAGER[detail](manager.config)
    cluster = manager.clusters.get(exchange.info.upstream_cluster)
    return limits_of_cluster(detail, cluster.config) if cluster is not None else {}


def _cluster(exchange: Exchange) -> str:
    """The cluster that the route names, also if it does not exist."""
    return exchange.route.cluster_name(exchange.request) if exchange.route is not None else ""


def _milliseconds(moment: float, since: float) -> float:
    return round((moment - since) * 1000, 3)
