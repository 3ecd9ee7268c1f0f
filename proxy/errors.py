"""The one error class of the data plane. Local replies, retries, logs and the flight recorder all read this object.

`proxy/http/local_reply.py` is the only place that turns one into a response.
"""

from __future__ import annotations

import enum
import errno
from typing import Literal


class Flag(enum.Enum):
    """Envoy's response flags (`StreamInfo::CoreResponseFlag`)."""

    FAILED_LOCAL_HEALTH_CHECK = "LH"
    NO_HEALTHY_UPSTREAM = "UH"
    UPSTREAM_REQUEST_TIMEOUT = "UT"
    LOCAL_RESET = "LR"
    UPSTREAM_REMOTE_RESET = "UR"
    UPSTREAM_CONNECTION_FAILURE = "UF"
    UPSTREAM_CONNECTION_TERMINATION = "UC"
    UPSTREAM_OVERFLOW = "UO"
    NO_ROUTE_FOUND = "NR"
    DELAY_INJECTED = "DI"
    FAULT_INJECTED = "FI"
    RATE_LIMITED = "RL"
    UNAUTHORIZED_EXTERNAL_SERVICE = "UAEX"
    RATE_LIMIT_SERVICE_ERROR = "RLSE"
    DOWNSTREAM_CONNECTION_TERMINATION = "DC"
    UPSTREAM_RETRY_LIMIT_EXCEEDED = "URX"
    STREAM_IDLE_TIMEOUT = "SI"
    INVALID_ENVOY_REQUEST_HEADERS = "IH"
    DOWNSTREAM_PROTOCOL_ERROR = "DPE"
    DOWNSTREAM_REMOTE_RESET = "DR"
    UPSTREAM_MAX_STREAM_DURATION_REACHED = "UMSDR"
    RESPONSE_FROM_CACHE_FILTER = "RFCF"
    NO_FILTER_CONFIG_FOUND = "NFCF"
    DURATION_TIMEOUT = "DT"
    UPSTREAM_PROTOCOL_ERROR = "UPE"
    NO_CLUSTER_FOUND = "NC"
    OVERLOAD_MANAGER = "OM"
    DNS_RESOLUTION_FAILED = "DF"
    FILTER_EXCEPTION = "FE"  # ours; Envoy lists flags that extensions register behind its own, too


MAX_CAUSES = 4

Side = Literal["downstream", "upstream", "internal"]
Retryable = Literal["never", "always", "reused"]


class ProxyError(Exception):
    """A request or connection failed for a reason that a person can look up.

    `status` is the HTTP status of the local reply (0: no reply can be sent, close). `body` is its text. `detail` is
    Envoy's response code detail. `side` says whose fault it is; `retryable="reused"` allows a retry only when the
    upstream connection had served a request before. `close` asks that the downstream connection ends with the reply.
    `transport_failure` is what the upstream's socket said when connecting failed. `grpc_status` is what a gRPC client
    is told, where `status` does not say it.
    """

    def __init__(
        self,
        detail: str,
        *,
        side: Side,
        status: int,
        body: str | bytes = "",
        flag: Flag | None = None,
        retryable: Retryable = "never",
        close: bool = False,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        transport_failure: str = "",
        grpc_status: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.side = side
        self.status = status
        self.body = body
        self.flag = flag
        self.retryable = retryable
        self.close = close
        self.headers = headers
        self.transport_failure = transport_failure
        self.grpc_status = grpc_status


def errno_name(error: BaseException) -> str:
    """The name of the kernel's error behind `error`: `ECONNREFUSED`; "" if there is none."""
    cause: BaseException | None = error
    while cause is not None:
        code = getattr(cause, "errno", None)
        if isinstance(code, int):
            return errno.errorcode.get(code, "")
        cause = cause.__cause__
    return ""


_TLS = "TLS error:: SSL routines:OPENSSL internal:"
"""What stands before whatever there is to say of a handshake."""


def describe(error: BaseException) -> str:
    """An error in one line with what lies behind it: `connection termination: Connection reset by peer`.

    Of a detail with a reason in braces, the reason alone.
    """
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < MAX_CAUSES:
        said = str(cause) or type(cause).__name__
        reason = said.partition("{")[2].rstrip("}").replace("_", " ").replace("|", ": ") or said
        reason = reason.replace(_TLS, "TLS: ").removesuffix(":TLS error end")
        if not parts or reason.replace("_", " ") not in parts[-1].replace("_", " "):
            parts.append(reason)
        cause = cause.__cause__
    return ": ".join(parts)
