"""`Http2ProtocolOptions` of either side, compiled, with the defaults of Envoy 1.40 (features §13 rule 57)."""

from __future__ import annotations

import msgspec


class Keepalive(msgspec.Struct, frozen=True, gc=False):
    """`KeepaliveSettings`; seconds, 0 for never. A PING every `interval`, give or take `jitter` (a share of it), whose
    answer has `timeout` to come; `idle_interval`: one before a connection is used that was idle for longer."""

    interval: float = 0.0
    timeout: float = 0.0
    jitter: float = 0.15
    idle_interval: float = 0.0


class Http2Options(msgspec.Struct, frozen=True, gc=False):
    """The fields' names are Envoy's. `stream_error` is `override_stream_error_on_invalid_http_message`: a message that
    is no valid HTTP ends its stream, and not the connection.
    """

    hpack_table_size: int = 4096
    max_concurrent_streams: int = 1024
    initial_stream_window_size: int = 16 * 1024 * 1024
    initial_connection_window_size: int = 24 * 1024 * 1024
    allow_connect: bool = False
    max_outbound_frames: int = 10000
    max_outbound_control_frames: int = 1000
    max_consecutive_inbound_frames_with_empty_payload: int = 1
    max_inbound_priority_frames_per_stream: int = 100
    max_inbound_window_update_frames_per_data_frame_sent: int = 10
    stream_error: bool = False
    keepalive: Keepalive = Keepalive()
