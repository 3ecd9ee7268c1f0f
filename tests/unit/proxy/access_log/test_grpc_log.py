"""Loggers of gRPC services as they are configured."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proxy.access_log.grpc_log import Common
from proxy.access_log.http_grpc import HttpGrpcAccessLog
from proxy.access_log.tcp_grpc import TcpGrpcAccessLog
from proxy.config.grpc_service import GrpcService
from tests.kit.bootstrap import bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.config import compiled, findings, manager

PACKAGE = "envoy.extensions.access_loggers.grpc.v3"
COMMON = f"{PACKAGE}.CommonGrpcAccessLogConfig"
HTTP = f"{PACKAGE}.HttpGrpcAccessLogConfig"
SERVICE = "envoy.config.core.v3.GrpcService"

EVERYTHING = {
    "log_name": "mine",
    "transport_api_version": "V3",
    "grpc_service": {
        "envoy_grpc": {"cluster_name": "als", "authority": "als.test"},
        "initial_metadata": [{"key": "X-Key", "value": "value"}],
    },
    "buffer_flush_interval": "0.25s",
    "buffer_size_bytes": 100,
    "filter_state_objects_to_log": ["state"],
}
HEADERS = {
    "additional_request_headers_to_log": ["X-Sent"],
    "additional_response_headers_to_log": ["X-Got"],
    "additional_response_trailers_to_log": ["X-Late"],
}


def text(kind: str, common: dict[str, Any], **more: Any) -> str:
    log = {"name": "l", "typed_config": {"@type": f"type.googleapis.com/{kind}", "common_config": common, **more}}
    if kind == HTTP:
        listener = http_listener(virtual_host("v", ["*"], route("/", "als")), access_log=[log])
    else:
        listener = {**http_listener(virtual_host("v", ["*"], route("/", "als"))), "access_log": [log]}
    return bootstrap([listener], [static_cluster("als")])


@pytest.mark.field(
    *(f"{HTTP}.{name}" for name in ("common_config", *HEADERS)),
    *(f"{COMMON}.{name}" for name in EVERYTHING if name != "transport_api_version"),
    f"{COMMON}.transport_api_version=V3",
    f"{SERVICE}.envoy_grpc",
    f"{SERVICE}.initial_metadata",
    f"{SERVICE}.EnvoyGrpc.cluster_name",
    f"{SERVICE}.EnvoyGrpc.authority",
    "envoy.config.core.v3.HeaderValue.key",
    "envoy.config.core.v3.HeaderValue.value",
)
def test_all_of_it() -> None:
    (log,) = manager(text(HTTP, EVERYTHING, **HEADERS)).access_log
    config = msgspec.msgpack.decode(log.logger.config, type=HttpGrpcAccessLog.Config)
    service = GrpcService("als", "als.test", ((b"x-key", b"value"),))
    assert config.common == Common("mine", service, 0.25, 100, ("state",))
    assert (config.request_headers, config.response_headers) == ((b"x-sent",), (b"x-got",))
    assert config.response_trailers == (b"x-late",)


@pytest.mark.field(f"{PACKAGE}.TcpGrpcAccessLogConfig.common_config")
def test_of_connections() -> None:
    kind = f"{PACKAGE}.TcpGrpcAccessLogConfig"
    (log,) = compiled(text(kind, EVERYTHING)).listeners[0].access_log
    config = msgspec.msgpack.decode(log.logger.config, type=TcpGrpcAccessLog.Config)
    assert config.common.log_name == "mine"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"transport_api_version": "AUTO"}, "transport_api_version"),
        ({"grpc_service": {"envoy_grpc": {"cluster_name": "other"}}}, "grpc_service.envoy_grpc.cluster_name"),
        ({"grpc_service": {"google_grpc": {"target_uri": "t", "stat_prefix": "s"}}}, "grpc_service.google_grpc"),
    ],
)
def test_what_cannot_be(change: dict[str, Any], place: str) -> None:
    (finding,) = findings(text(HTTP, {**EVERYTHING, **change}))
    assert finding.field_path.endswith(place)
