"""`Http2ProtocolOptions` from protos, for the connection manager and for clusters."""

from __future__ import annotations

from typing import Any

from proxy.config.context import CompileContext
from proxy.config.http2 import Http2Options, Keepalive

_OPTIONS = "envoy.config.core.v3.Http2ProtocolOptions"
_NUMBERS = (
    "hpack_table_size",
    "max_concurrent_streams",
    "initial_stream_window_size",
    "initial_connection_window_size",
    "max_outbound_frames",
    "max_outbound_control_frames",
    "max_consecutive_inbound_frames_with_empty_payload",
    "max_inbound_priority_frames_per_stream",
    "max_inbound_window_update_frames_per_data_frame_sent",
)

FIELDS: dict[str, tuple[str, ...]] = {
    _OPTIONS: (*_NUMBERS, "allow_connect", "override_stream_error_on_invalid_http_message", "connection_keepalive"),
    "envoy.config.core.v3.KeepaliveSettings": ("interval", "timeout", "interval_jitter", "connection_idle_interval"),
}


def from_proto(message: Any, context: CompileContext) -> Http2Options:
    """An `Http2ProtocolOptions` message; what it does not set has Envoy's default."""
    given = {name: getattr(message, name).value for name in _NUMBERS if message.HasField(name)}
    return Http2Options(
        **given,
        allow_connect=message.allow_connect,
        stream_error=message.override_stream_error_on_invalid_http_message.value,
        keepalive=_keepalive(message.connection_keepalive, context.at("connection_keepalive")),
    )


def _keepalive(message: Any, context: CompileContext) -> Keepalive:
    jitter = message.interval_jitter.value if message.HasField("interval_jitter") else 15.0
    return Keepalive(
        interval=context.duration(message.interval, "interval"),
        timeout=context.duration(message.timeout, "timeout"),
        jitter=jitter / 100,
        idle_interval=context.duration(message.connection_idle_interval, "connection_idle_interval"),
    )
