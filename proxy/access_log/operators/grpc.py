"""The status of a gRPC exchange: `%GRPC_STATUS(CAMEL_STRING|SNAKE_STRING|NUMBER)%`."""

from __future__ import annotations

from proxy.access_log.operator import Build, FormatError, Getter, Value, plain
from proxy.http import grpc
from proxy.http.grpc import GrpcStatus
from proxy.http.stream_info import StreamInfo

_SNAKE = {int(status): status.name.encode() for status in GrpcStatus}
_CAMEL = {int(status): status.name.title().replace("_", "").encode() for status in GrpcStatus}
_CAMEL[GrpcStatus.OK] = b"OK"


def status(info: StreamInfo) -> int | None:
    """None for what was no gRPC request, or has no response."""
    if info.request is None or not grpc.is_request(info.request.headers):
        return None
    return grpc.status_of(info.response_headers, info.response_trailers, info.status)


def _grpc_status(parameter: str | None) -> Getter:
    """A number without a name is written as a number, in JSON as text."""
    if parameter == "NUMBER":
        return status
    names = {None: _CAMEL, "CAMEL_STRING": _CAMEL, "SNAKE_STRING": _SNAKE}.get(parameter)
    if names is None:
        raise FormatError(f"unknown form {parameter!r}", "CAMEL_STRING, SNAKE_STRING or NUMBER")

    def get(info: StreamInfo) -> Value:
        number = status(info)
        return None if number is None else names.get(number) or b"%d" % number

    return get


OPERATORS: dict[str, Build] = {"GRPC_STATUS": _grpc_status, "GRPC_STATUS_NUMBER": plain(status)}
