"""What is known about one exchange: the source of stats, access logs and the flight recorder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from proxy.config.common import Address
from proxy.errors import Flag
from proxy.http import stream_data
from proxy.http.stream_data import Metadata, StateObject, Struct

if TYPE_CHECKING:
    from proxy.http.h2_stream import Meter
    from proxy.http.headers import Headers
    from proxy.http.request import Request
    from proxy.net.connection import Connection
    from proxy.net.tls.session import TlsSession
    from proxy.route.entry import RouteEntry

NO_STATUS = 0


class Attempt(NamedTuple):
    """A try at an upstream host that failed: how far it came, why it ended, and what it took.

    `response` means that the request had been sent. `errno` is the name of the kernel's error (`ECONNREFUSED`), "" if
    there was none.
    """

    host: str
    phase: Literal["connect", "request", "response"]
    error: str
    seconds: float
    errno: str = ""


class UpstreamConnection(NamedTuple):
    """The connection of an attempt: its number (`%UPSTREAM_CONNECTION_ID%`), when connecting began and ended, what is
    spoken on it ("" if it is nothing but bytes), in TLS what was agreed on; `remote` is its address where the host has
    several.
    """

    id: int
    began: float
    connected: float
    protocol: str = "HTTP/1.1"
    tls: TlsSession | None = None
    remote: Address | None = None


class Transfer(Protocol):
    """An attempt that is under way, as far as bytes are counted. `heads` are those of its responses, as they came;
    `header_bytes_received` are those of heads that did not come as text.
    """

    @property
    def bytes_sent(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def header_bytes_sent(self) -> int: ...
    @property
    def header_bytes_received(self) -> int: ...
    @property
    def heads(self) -> tuple[bytes, ...]: ...


class Flags(list[Flag]):
    """Response flags in the order in which they were set, each once: Envoy's `setResponseFlag`."""

    __slots__ = ()

    def add(self, flag: Flag) -> None:
        if flag not in self:
            self.append(flag)


class StreamInfo:
    """Facts gathered while an exchange runs. Times are `trio.current_time()` seconds; 0.0 where not reached.

    `status` is the response's status, 0 while none is decided. `detail` is Envoy's response code detail. Bytes are
    body bytes without framing, as in `%BYTES_RECEIVED%` and `%BYTES_SENT%`. `request_complete` turns true when the
    last byte of the request has been read, `response_complete` when the last byte of the response was handed over.
    `upgrade` is what the request asks to leave HTTP for, in lower case ("connect" for CONNECT), else "": such a request
    never ends, as far as HTTP is concerned. `continued`: the client was sent a 1xx. `stream_id` is the codec's, 0 while
    no head has been read.
    `downstream_remote` is the trusted client address, None while no head has been read: then it is the peer's.
    `internal`: the request comes from inside (features §13 rule 23). `health_check`: it asks how we are, so it counts
    little.

    `started_at` is the wall clock (Unix seconds) at `started`. `connection`, `request`, `response_headers` and
    `response_trailers` are the exchange's own, None where there is none (yet). `upstream_host` is the host that was
    chosen last, `upstream_remote` and `upstream_local` the ends of the connection to it, None if there was no
    connection. `upstream_failure` is what the socket said when connecting failed. `local_reply_body` is set only
    while the format of a local reply is rendered. `connection_ended` is when the connection ended, if that is what
    the entry is about. `request_received` and `request_sent` are when the last byte of the request came and when it
    went to the upstream, `request_begun` when its first byte went, `response_begun` and `response_received` when
    the first and the last byte of the response came.
    `entry` is the route that was chosen last: its `route` and `virtual_host` have their `metadata`.
    `log_type` says what an entry of the access log is about (`%ACCESS_LOG_TYPE%`).
    `upstream_tried` is the host of an attempt as soon as it begins, `upstream_hostname` its name, if it has one.
    `attempt_begun` and `pool_ready` are when the last attempt began and when it had its connection, or none.
    `upstream_connection` is that connection, `transfer` what runs over it; what earlier attempts sent and received is
    in `upstream_bytes_*`, `upstream_header_bytes_*` and `response_heads`. `response_body_begun` is when the first
    byte of the response's body came, `response_out` when its head was about to go to the client.
    `request_head` begins with the request's head as it came. `received_before` and `sent_before` are what had passed
    the connection before this exchange; `meter` counts instead where it was not alone there (HTTP/2).
    `header_bytes_sent` are those of the response's fields on the wire.
    `virtual_cluster` is the name of the virtual cluster that the request belongs to.
    `attempts` are those that failed, `cause` is what lies behind a failure: the text of an error, or a traceback.
    `upstream_close_type` says how the upstream's connection ended (`%UPSTREAM_DETECTED_CLOSE_TYPE%`).
    `observed` are the stats of the virtual cluster and of the route that the request counts in
    (`proxy.upstream.observed.Observed`). `override_host` is the host that a filter wants for the first attempt
    (`proxy.upstream.override_host.OverrideHost`), None for any.

    `dynamic_metadata` (namespace → struct) and `filter_state` (key → object) are what filters have left here, None as
    long as none has: to be read, and to be written by `set_dynamic_metadata`, `merge_dynamic_metadata` and
    `set_filter_state`. `stream_data.lookup` finds a value in metadata, `stream_data.text` is a state object as text.
    """

    __slots__ = (
        "_written",
        "attempt_begun",
        "attempts",
        "bytes_received",
        "bytes_sent",
        "cause",
        "connection",
        "connection_ended",
        "continued",
        "detail",
        "downstream_remote",
        "dynamic_metadata",
        "ended",
        "entry",
        "filter_state",
        "flags",
        "header_bytes_sent",
        "health_check",
        "internal",
        "is_http",
        "local_reply_body",
        "log_type",
        "meter",
        "observed",
        "override_host",
        "pool_ready",
        "received_before",
        "request",
        "request_begun",
        "request_complete",
        "request_head",
        "request_received",
        "request_sent",
        "response_begun",
        "response_body_begun",
        "response_complete",
        "response_headers",
        "response_heads",
        "response_out",
        "response_received",
        "response_trailers",
        "route_name",
        "sent_before",
        "started",
        "started_at",
        "status",
        "stream_id",
        "transfer",
        "upgrade",
        "upstream_attempts",
        "upstream_bytes_received",
        "upstream_bytes_sent",
        "upstream_close_type",
        "upstream_cluster",
        "upstream_connection",
        "upstream_failure",
        "upstream_header_bytes_received",
        "upstream_header_bytes_sent",
        "upstream_host",
        "upstream_hostname",
        "upstream_local",
        "upstream_remote",
        "upstream_tried",
        "virtual_cluster",
    )

    def __init__(self, started: float, connection: Connection | None = None) -> None:
        self.started = started
        self.started_at = time.time()
        self.connection = connection
        self.internal = False
        self.health_check = False
        self.is_http = True  # false for a proxied TCP connection
        self.log_type = b"DownstreamEnd"
        self.request: Request | None = None
        self.response_headers: Headers | None = None
        self.response_trailers: Headers | None = None
        self.stream_id = 0
        self.status = NO_STATUS
        self.detail = ""
        self.local_reply_body = b""
        self.meter: Meter | None = None
        self.upgrade = ""
        self.flags = Flags()
        self.bytes_received = self.bytes_sent = 0
        self.continued = self.request_complete = self.response_complete = False
        self.request_received = self.request_begun = self.request_sent = 0.0
        self.response_begun = self.response_received = self.ended = self.connection_ended = 0.0
        self.route_name = self.upstream_cluster = self.upstream_failure = ""
        self.entry: RouteEntry | None = None
        self.upstream_host: Address | None = None
        self.downstream_remote: Address | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self.cause = ""
        self.observed: tuple[Any, ...] = ()
        self.override_host: Any = None
        self.upstream_tried: Address | None = None
        self.upstream_remote: Address | None = None
        self.upstream_local: Address | None = None
        self.upstream_attempts = self.upstream_bytes_sent = self.upstream_bytes_received = 0
        self.upstream_hostname = self.virtual_cluster = ""
        self.upstream_close_type = b"Normal"
        self.upstream_connection: UpstreamConnection | None = None
        self.attempt_begun = self.pool_ready = self.response_body_begun = self.response_out = 0.0
        self.request_head = b""
        self.received_before = self.sent_before = self.header_bytes_sent = self.upstream_header_bytes_sent = 0
        self.upstream_header_bytes_received = 0
        self.response_heads: tuple[bytes, ...] = ()
        self.transfer: Transfer | None = None
        self.dynamic_metadata: Metadata | None = None
        self.filter_state: dict[str, StateObject] | None = None
        self._written = 0

    def begin(self, started: float, now: float) -> None:
        """Set the beginning of an exchange that began at `started` on the clock that says `now`."""
        self.started = started
        self.started_at = time.time() - (now - started)

    def begin_attempt(self, now: float) -> None:
        """Another attempt begins: what was known of the connection of the last one is no longer of interest."""
        self.upstream_attempts += 1
        self.attempt_begun, self.pool_ready = now, 0.0
        self.upstream_connection = self.upstream_remote = self.upstream_local = None

    def end_transfer(self, transfer: Transfer) -> None:
        """`transfer` is over, and counts among what earlier attempts sent and received."""
        self.upstream_bytes_sent += transfer.bytes_sent
        self.upstream_bytes_received += transfer.bytes_received
        self.upstream_header_bytes_sent += transfer.header_bytes_sent
        self.upstream_header_bytes_received += transfer.header_bytes_received
        self.response_heads += transfer.heads
        if self.transfer is transfer:
            self.transfer = None

    def response_flags(self) -> str:
        """`%RESPONSE_FLAGS%`: comma-joined in the order in which they were set, `-` if there is none."""
        return ",".join([flag.value for flag in self.flags]) if self.flags else "-"

    def set_dynamic_metadata(self, namespace: str, values: Struct) -> None:
        """Set the keys of `values` in a namespace; its other keys stay (Envoy's `setDynamicMetadata`). The values are
        not to be changed afterwards.

        Raises `TypeError` for what is no JSON, `ProxyError` beyond `limits.MAX_STREAM_DATA`.
        """
        before = self._metadata_to_write(namespace, values)
        before[namespace] = {**before.get(namespace, {}), **values}

    def merge_dynamic_metadata(self, namespace: str, values: Struct) -> None:
        """The same, but structs in `values` are merged with those that are there, and lists appended to them."""
        before = self._metadata_to_write(namespace, values)
        before[namespace] = stream_data.merged(before.get(namespace, {}), values)

    def set_filter_state(self, key: str, value: StateObject | str) -> None:
        """Set the object `key`, in place of the one before. Raises `ProxyError` beyond `limits.MAX_STREAM_DATA`."""
        value = value.encode() if isinstance(value, str) else value
        self._written = stream_data.within_bounds(self._written + len(key) + len(stream_data.text(value)))
        if self.filter_state is None:
            self.filter_state = {}
        self.filter_state[key] = value

    def _metadata_to_write(self, namespace: str, values: Struct) -> Metadata:
        self._written = stream_data.within_bounds(self._written + len(namespace) + stream_data.size(values))
        if self.dynamic_metadata is None:
            self.dynamic_metadata = {}
        return self.dynamic_metadata
