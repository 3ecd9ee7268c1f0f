"""Frames that steer an HTTP/2 connection and its windows, and carry no message (RFC 9113 6.3, 6.5 to 6.9). Sans-IO."""

from __future__ import annotations

import struct

from proxy.config.http2 import Http2Options
from proxy.http import h2_frames as frames
from proxy.http.events import Event, GoawayReceived
from proxy.http.h2_frames import ConnectionFailed, ErrorCode, Setting, StreamFailed
from proxy.http.h2_sender import OUTPUT_LIMIT, H2Sender
from proxy.http.h2_stats import Http2Stats

_MAX_SETTINGS = 32
"""Values in one SETTINGS frame (nghttp2's `NGHTTP2_DEFAULT_MAX_SETTINGS`, which is Envoy's): each may concern every
stream."""


class H2Control(H2Sender):
    """What the peer's settings, PINGs, GOAWAYs, priorities and WINDOW_UPDATEs do.

    `pings_answered` counts acknowledgements of our own.
    """

    def __init__(self, options: Http2Options, stats: Http2Stats) -> None:
        super().__init__(options, stats)
        self.pings_answered = 0
        self._events: list[Event] = []
        self._settled = False  # the peer's first SETTINGS have come

    def _on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        self._budget.priority()
        if len(payload) != 5:
            raise StreamFailed(stream_id, ErrorCode.FRAME_SIZE_ERROR, "http2.frame_size_error")
        if int.from_bytes(payload[:4], "big") & frames.MAX_STREAM_ID == stream_id:
            raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        if len(payload) % 6 or (flags & frames.ACK and payload):
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "http2.frame_size_error")
        if flags & frames.ACK:
            return
        if len(payload) > 6 * _MAX_SETTINGS:
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "http2.too_many_settings")
        self._settled = True
        self._answer(frames.SETTINGS_ACK)
        window = self.peer_initial_window
        for number, value in struct.iter_unpack(">HL", payload):
            if number == Setting.INITIAL_WINDOW_SIZE:
                window = value
            self._apply(number, value)
        if window != self.peer_initial_window:
            self._resize_windows(window)

    def _apply(self, number: int, value: int) -> None:
        match number:
            case Setting.HEADER_TABLE_SIZE:
                self._encoder.resize(value)
            case Setting.ENABLE_PUSH:
                if value > 1 or (value and self.client):
                    raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.invalid_settings")
            case Setting.MAX_CONCURRENT_STREAMS:
                self.peer_max_streams = value
            case Setting.INITIAL_WINDOW_SIZE:
                if value > frames.MAX_WINDOW:
                    raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "http2.flow_control_error")
            case Setting.MAX_FRAME_SIZE:
                if not frames.MIN_FRAME_SIZE <= value < 1 << 24:
                    raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.invalid_settings")
                self.peer_frame_size = min(value, OUTPUT_LIMIT)
            case Setting.ENABLE_CONNECT_PROTOCOL:
                if value > 1 or (self.peer_takes_extended_connect and not value):
                    raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.invalid_settings")
                self.peer_takes_extended_connect = bool(value)

    def _resize_windows(self, value: int) -> None:
        """The windows of all streams change by as much as the initial one (RFC 9113 6.9.2): once for each SETTINGS,
        however often it says so."""
        change, self.peer_initial_window = value - self.peer_initial_window, value
        for stream in self._streams.values():
            stream.send_window += change
            if stream.send_window > frames.MAX_WINDOW:
                raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "http2.flow_control_error")
            self._unblock(stream)
        if change > 0:
            self._pump()

    def _on_push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Clients promise nothing, and we have told servers not to (RFC 9113 8.4)."""
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        if len(payload) != 8:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "http2.frame_size_error")
        if flags & frames.ACK:
            self.pings_answered += 1
        else:
            self._answer(frames.ping(payload, ack=True))

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        if len(payload) < 8:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "http2.frame_size_error")
        last, code = struct.unpack_from(">LL", payload)
        self._events.append(GoawayReceived(last & frames.MAX_STREAM_ID, code))

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "http2.frame_size_error")
        self._budget.window_update()
        increment = int.from_bytes(payload, "big") & frames.MAX_WINDOW
        if not stream_id:
            if not increment:
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
            self._send_window += increment
            if self._send_window > frames.MAX_WINDOW:
                raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "http2.flow_control_error")
            self._pump()
            return
        self._check_used(stream_id)
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if not increment:
            raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        stream.send_window += increment
        if stream.send_window > frames.MAX_WINDOW:
            raise StreamFailed(stream_id, ErrorCode.FLOW_CONTROL_ERROR, "http2.flow_control_error")
        if stream.queued:
            self._unblock(stream)
            self._pump()

    def _check_used(self, stream_id: int) -> None:
        """Refuse frames of streams that have never been (RFC 9113 5.1, "idle")."""
        if not stream_id or not self._was_used(stream_id):
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")

    def _was_used(self, stream_id: int) -> bool:
        return stream_id <= self._highest and stream_id % 2 == 1
