"""What is known about one exchange: the source of stats, access logs and the flight recorder."""

from __future__ import annotations

from typing import Literal, NamedTuple

from proxy.config.common import Address
from proxy.errors import Flag

NO_STATUS = 0
NOT_REACHED = -1.0


class Attempt(NamedTuple):
    """A try at an upstream host that failed: how far it came, why it ended, and what it took.

    `response` means that the request had been sent.
    """

    host: str
    phase: Literal["connect", "request", "response"]
    error: str
    seconds: float


class StreamInfo:
    """Facts gathered while an exchange runs. Times are `trio.current_time()` seconds; 0.0, or
    `NOT_REACHED`, where not reached.

    `status` is the response's status, 0 while none is decided. `detail` is Envoy's response code detail. Bytes are
    body bytes without framing, as in `%BYTES_RECEIVED%` and `%BYTES_SENT%`. `request_complete` turns true when the
    last byte of the request has been read, `response_complete` when the last byte of the response was handed over.
    `continued`: we sent `100 Continue`. `stream_id` is the codec's, 0 while no head has been read.
    `request_sent`: the last byte of the request was there to be sent upstream; `responded`: the response's head had
    come from there. `attempts` are the failed ones, `cause` what lies behind a failure: the text of an error, or a
    traceback.
    """

    __slots__ = (
        "attempts",
        "bytes_received",
        "bytes_sent",
        "cause",
        "continued",
        "detail",
        "ended",
        "flags",
        "request_complete",
        "request_sent",
        "responded",
        "response_complete",
        "route_name",
        "started",
        "status",
        "stream_id",
        "upstream_cluster",
        "upstream_host",
    )

    def __init__(self, started: float) -> None:
        self.started = started
        self.stream_id = 0
        self.ended = 0.0
        self.request_sent = self.responded = NOT_REACHED
        self.status = NO_STATUS
        self.detail = ""
        self.flags: set[Flag] = set()
        self.bytes_received = 0
        self.bytes_sent = 0
        self.continued = False
        self.request_complete = False
        self.response_complete = False
        self.route_name = ""
        self.upstream_cluster = ""
        self.upstream_host: Address | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self.cause = ""

    def response_flags(self) -> str:
        """`%RESPONSE_FLAGS%`: comma-joined in the order of `Flag`, `-` if there is none (features §13 rule 31)."""
        return ",".join(flag.value for flag in Flag if flag in self.flags) or "-"
