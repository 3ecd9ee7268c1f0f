"""`envoy.access_loggers.tcp_grpc`: entries of TCP connections, streamed to a gRPC service."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.access_log.grpc_log import FIELDS as COMMON_FIELDS
from proxy.access_log.grpc_log import PACKAGE, Common, GrpcLogger, common_from_proto
from proxy.access_log.sinks import Sinks
from proxy.config.context import CompileContext
from proxy.http.stream_info import StreamInfo

FIELDS: dict[str, tuple[str, ...]] = {f"{PACKAGE}.TcpGrpcAccessLogConfig": ("common_config",), **COMMON_FIELDS}


class TcpGrpcAccessLog(GrpcLogger):
    """Each connection is a `TCPAccessLogEntry`."""

    kind = "tcp"

    class Config(msgspec.Struct, frozen=True):
        """`TcpGrpcAccessLogConfig`."""

        common: Common

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `TcpGrpcAccessLogConfig`."""
        return cls.Config(common_from_proto(message.common_config, context.at("common_config")))

    def __init__(self, config: Config, sinks: Sinks) -> None:
        from proxy.access_log.grpc_message import tcp_entry  # holds protobuf

        super().__init__(config.common, sinks)
        self._filter_state = config.common.filter_state
        self._make = tcp_entry

    def entry(self, info: StreamInfo) -> Any:
        return self._make(info, self._filter_state)
