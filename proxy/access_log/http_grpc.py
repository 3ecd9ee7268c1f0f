"""`envoy.access_loggers.http_grpc`: entries of HTTP exchanges, streamed to a gRPC service."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.access_log.grpc_log import FIELDS as COMMON_FIELDS
from proxy.access_log.grpc_log import PACKAGE, Common, GrpcLogger, common_from_proto
from proxy.access_log.sinks import Sinks
from proxy.config.context import CompileContext
from proxy.http.stream_info import StreamInfo

FIELDS: dict[str, tuple[str, ...]] = {
    f"{PACKAGE}.HttpGrpcAccessLogConfig": (
        "common_config",
        "additional_request_headers_to_log",
        "additional_response_headers_to_log",
        "additional_response_trailers_to_log",
    ),
    **COMMON_FIELDS,
}


class HttpGrpcAccessLog(GrpcLogger):
    """Each exchange is an `HTTPAccessLogEntry`."""

    kind = "http"

    class Config(msgspec.Struct, frozen=True):
        """`HttpGrpcAccessLogConfig`; names of fields in lower case."""

        common: Common
        request_headers: tuple[bytes, ...] = ()
        response_headers: tuple[bytes, ...] = ()
        response_trailers: tuple[bytes, ...] = ()

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `HttpGrpcAccessLogConfig`."""
        return cls.Config(
            common_from_proto(message.common_config, context.at("common_config")),
            *(
                tuple(name.lower().encode() for name in names)
                for names in (
                    message.additional_request_headers_to_log,
                    message.additional_response_headers_to_log,
                    message.additional_response_trailers_to_log,
                )
            ),
        )

    def __init__(self, config: Config, sinks: Sinks) -> None:
        from proxy.access_log.grpc_message import http_entry  # holds protobuf

        super().__init__(config.common, sinks)
        self._config = config
        self._make = http_entry

    def entry(self, info: StreamInfo) -> Any:
        config = self._config
        return self._make(
            info,
            config.common.filter_state,
            config.request_headers,
            config.response_headers,
            config.response_trailers,
        )
