"""`envoy.filters.http.grpc_stats`: what gRPC calls come to, by service and method."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from proxy.config.context import CompileContext
from proxy.filters.context import FilterContext
from proxy.filters.grpc_counters import CallCounters, GrpcCounters, Names
from proxy.http import grpc
from proxy.http.exchange import Exchange
from proxy.http.headers import Headers
from proxy.http.response_edits import ResponseEdit, ResponseHead
from proxy.http.stream_data import Described

PROTO = "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
FIELDS: dict[str, tuple[str, ...]] = {
    PROTO: (
        "stats_for_all_methods",
        "individual_method_stats_allowlist",
        "enable_upstream_stats",
        "emit_filter_state",
        "replace_dots_in_grpc_service_name",
    ),
    "envoy.config.core.v3.GrpcMethodList": ("services",),
    "envoy.config.core.v3.GrpcMethodList.Service": ("name", "method_names"),
}

_STATE = "envoy.filters.http.grpc_stats"
_MESSAGES = "requestMessageCount", "responseMessageCount"
"""Fields of its `FilterObject`, as JSON."""


class GrpcStats:
    """Messages and ends of calls, which pass as they are."""

    terminal = False

    class Config(msgspec.Struct, frozen=True):
        """`FilterConfig`. `methods` are those that count by name; None: all do. `plain_dots`: dots in the names of
        services stay.
        """

        methods: tuple[Names, ...] | None = ()
        upstream_time: bool = False
        filter_state: bool = False
        plain_dots: bool = True

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `FilterConfig` message."""
        services = message.individual_method_stats_allowlist.services
        named = tuple((service.name, method) for service in services for method in service.method_names)
        return cls.Config(
            None if message.stats_for_all_methods.value else named,
            message.enable_upstream_stats,
            message.emit_filter_state,
            not message.replace_dots_in_grpc_service_name,
        )

    def __init__(self, name: str, config: Config, context: FilterContext) -> None:
        self.name = name
        self._config = config
        self._methods = None if config.methods is None else frozenset(config.methods)
        self._counters = GrpcCounters(context.stats)

    def on_request_headers(self, exchange: Exchange) -> None:
        if grpc.is_request(exchange.request.headers):
            call = _Call(exchange, self._config, self._find(exchange))
            exchange.body.transform(_Sent(call))
            exchange.edit_response(_Answered(call))

    def _find(self, exchange: Exchange) -> CallCounters | None:
        """What the exchange's call counts in; None if its path is none of a call."""
        names = grpc.service_and_method(exchange.request.path)
        if names is None:
            return None
        if self._methods is not None:
            return self._counters.of(exchange, names if names in self._methods else None)
        service, method = names
        return self._counters.of(exchange, (service if self._config.plain_dots else service.replace(".", "_"), method))


class _Call:
    """A call under way, and its messages each way."""

    def __init__(self, exchange: Exchange, config: GrpcStats.Config, counters: CallCounters | None) -> None:
        self.counters = counters
        self._info = exchange.info
        self._config = config
        self._counts = [0, 0]

    def count(self, direction: int, messages: int) -> None:
        """More messages have come: of the request (0), or of the response (1)."""
        self._counts[direction] += messages
        if self.counters is not None:
            self.counters.add(("request_message_count", "response_message_count")[direction], messages)
        if self._config.filter_state:
            counts = zip(_MESSAGES, self._counts, strict=True)
            told = {name: str(count) for name, count in counts if count}  # JSON of 64 bits is text
            self._info.set_filter_state(_STATE, Described(",".join(map(str, self._counts)).encode(), told))

    def charge(self, fields: Headers | None, *, ended: bool) -> None:
        """A head or trailers, with which the call may have `ended`."""
        if self.counters is None:
            return
        self.counters.charge(fields)
        if ended and self._config.upstream_time and self._info.request_sent:
            self.counters.record_time(int((trio.current_time() - self._info.request_sent) * 1000))


class _Frames:
    """Counts the messages of one direction, each with the first byte of its frame."""

    def __init__(self) -> None:
        self._left = 0  # bytes of the message that are still to come
        self._head = b""

    def count(self, data: bytes) -> int:
        """How many messages begin in `data`."""
        found = at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
            else:
                found += not self._head
                step = min(grpc.FRAME_HEAD - len(self._head), len(data) - at)
                self._head += data[at : at + step]
                if len(self._head) == grpc.FRAME_HEAD:
                    self._left, self._head = int.from_bytes(self._head[1:], "big"), b""
            at += step
        return found


class _Sent:
    """The request's body."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._frames = _Frames()

    def feed(self, data: bytes) -> bytes:
        if messages := self._frames.count(data):
            self._call.count(0, messages)
        return data

    def finish(self) -> bytes:
        return b""


class _Answered(ResponseEdit):
    """The response."""

    resizes = False

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._frames: _Frames | None = None

    def begin(self, head: ResponseHead, *, end_stream: bool) -> None:
        if grpc.is_response(head.status, head.headers, end_stream=end_stream):
            self._frames = _Frames()
        self._call.charge(head.headers, ended=end_stream)

    def feed(self, data: bytes) -> bytes:
        if self._frames is not None and (messages := self._frames.count(data)):
            self._call.count(1, messages)
        return data

    def finish(self, trailers: Headers | None) -> tuple[bytes, Headers | None]:
        if trailers is not None:
            self._call.charge(trailers, ended=True)
        return b"", trailers
