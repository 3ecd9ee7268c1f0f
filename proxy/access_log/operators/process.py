"""What does not depend on the request: the machine, the environment, the connection's number."""

from __future__ import annotations

import os
import socket

from proxy.access_log.operator import Build, Getter, Value, constant, plain, required
from proxy.http.stream_info import StreamInfo


def _environment(parameter: str | None) -> Getter:
    """The value when the configuration is applied; `-` if it is not set, in JSON too, as in Envoy."""
    value = os.environb.get(required(parameter, "the name of an environment variable").encode())
    return constant(b"-" if value is None else value)


def _connection_id(info: StreamInfo) -> int | None:
    return info.connection.id if info.connection is not None else None


def _filter_chain(info: StreamInfo) -> Value:
    return info.connection.filter_chain.encode() or None if info.connection is not None else None


def _close_type(info: StreamInfo) -> Value:
    """An exchange is logged before anybody knows how its connection ends; the listener's log knows."""
    if info.connection is None or (info.is_http and info.log_type != b"NotSet"):
        return b"Normal"
    return info.connection.close_type


OPERATORS: dict[str, Build] = {
    "ACCESS_LOG_TYPE": plain(lambda info: info.log_type),
    "CONNECTION_ID": plain(_connection_id),
    "DOWNSTREAM_DETECTED_CLOSE_TYPE": plain(_close_type),
    "ENVIRONMENT": _environment,
    "CUSTOM_FLAGS": plain(constant(b"")),  # no filter sets any
    "FILTER_CHAIN_NAME": plain(_filter_chain),
    "HOSTNAME": plain(constant(socket.gethostname().encode() or b"-")),
}
