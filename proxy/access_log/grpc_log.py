"""What the loggers of gRPC services have in common (`CommonGrpcAccessLogConfig`)."""

from __future__ import annotations

import abc
from typing import Any

import msgspec

from proxy.access_log.grpc_streams import GrpcLogStream, StreamKey
from proxy.access_log.log import PlannedLog
from proxy.access_log.rendering import Index
from proxy.access_log.sinks import Sinks
from proxy.config import grpc_service
from proxy.config.context import CompileContext
from proxy.config.grpc_service import GrpcService, grpc_service_from_proto
from proxy.http.stream_info import StreamInfo

PACKAGE = "envoy.extensions.access_loggers.grpc.v3"
FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.CommonGrpcAccessLogConfig": (
        "log_name",
        "grpc_service",
        "buffer_flush_interval",
        "buffer_size_bytes",
        "filter_state_objects_to_log",
        "transport_api_version=V3",
    ),
    **grpc_service.FIELDS,
}
DEFAULT_INTERVAL, DEFAULT_SIZE = 1.0, 16384


class Common(msgspec.Struct, frozen=True):
    """`flush_interval` in seconds, `buffer_size` in bytes. `node` is who we are: id and cluster."""

    log_name: str
    service: GrpcService
    flush_interval: float = DEFAULT_INTERVAL
    buffer_size: int = DEFAULT_SIZE
    filter_state: tuple[str, ...] = ()
    node: tuple[str, str] = ("", "")


def common_from_proto(message: Any, context: CompileContext) -> Common:
    """Compiles a `CommonGrpcAccessLogConfig`, for which `context` stands."""
    if not message.transport_api_version:
        context.error(("transport_api_version",), "the default, V2, is no more", "V3")
    interval, size = DEFAULT_INTERVAL, DEFAULT_SIZE
    if message.HasField("buffer_flush_interval"):
        interval = context.duration(message.buffer_flush_interval, "buffer_flush_interval")
    if message.HasField("buffer_size_bytes"):
        size = message.buffer_size_bytes.value
    return Common(
        message.log_name,
        grpc_service_from_proto(message.grpc_service, context.at("grpc_service")),
        interval,
        size,
        tuple(message.filter_state_objects_to_log),
        (context.node.id, context.node.cluster),
    )


class GrpcLogger(abc.ABC):
    """Logs an exchange as an entry of a stream. Subclasses make the entry."""

    kind = ""

    def __init__(self, common: Common, sinks: Sinks) -> None:
        from proxy.access_log.grpc_message import packer  # holds protobuf

        key = StreamKey(common.service, common.log_name, self.kind, common.flush_interval, common.buffer_size)
        self._stream: GrpcLogStream = sinks.streams.stream(key, packer(self.kind, common.log_name, common.node))

    @abc.abstractmethod
    def entry(self, info: StreamInfo) -> Any:
        """The entry for what is known now."""

    def log(self, info: StreamInfo) -> None:
        entry = self.entry(info)
        self._stream.add(entry, entry.ByteSize())

    def planned(self, info: StreamInfo) -> PlannedLog:
        """There is nothing that entries share."""

        def log(info: StreamInfo, sent: Index, got: Index) -> None:
            self.log(info)

        return log
