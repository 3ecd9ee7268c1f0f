"""What does not depend on the request: the machine, the environment, the connection's number."""

from __future__ import annotations

import os
import socket

from proxy.access_log.operator import Build, Getter, constant, plain, required
from proxy.http.stream_info import StreamInfo


def _environment(parameter: str | None) -> Getter:
    """The value when the configuration is applied; `-` if it is not set, in JSON too, as in Envoy."""
    value = os.environb.get(required(parameter, "the name of an environment variable").encode())
    return constant(b"-" if value is None else value)


def _connection_id(info: StreamInfo) -> int | None:
    return info.connection.id if info.connection is not None else None


OPERATORS: dict[str, Build] = {
    "ACCESS_LOG_TYPE": plain(lambda info: info.log_type),
    "CONNECTION_ID": plain(_connection_id),
    "ENVIRONMENT": _environment,
    "HOSTNAME": plain(constant(socket.gethostname().encode() or b"-")),
}
