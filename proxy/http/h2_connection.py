"""What both roles of HTTP/2 share: frames, and those that carry the messages of streams (RFC 9113). Sans-IO.

Header compression is `hpack`'s. The rest is ours, because limits have to be met before there is anything to limit, and
because every request passes here: `codec_h2_server.py` and `codec_h2_client.py` add what a message is.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

from proxy.config.http2 import Http2Options
from proxy.http import h2_frames as frames
from proxy.http.events import DataReceived, Event, StreamEnded, StreamReset
from proxy.http.h2_control import H2Control
from proxy.http.h2_frames import ConnectionFailed, ErrorCode, Setting, StreamFailed
from proxy.http.h2_heads import Pair
from proxy.http.h2_hpack import BlockDecoder, Head
from proxy.http.h2_stats import Http2Stats
from proxy.http.h2_stream import Stream
from proxy.http.h2_strict import RULE, TOO_LARGE, TOO_MANY, Limits, Malformed, Overflow, trailers
from proxy.http.headers import Headers

_MAX_CONTINUATIONS = 16
"""CONTINUATION frames of a block beside those that its size may need (CVE-2024-30255)."""

_MAX_BLOCK_SLACK = 4096


class H2Connection(H2Control, abc.ABC):
    """`receive` takes bytes and says what they mean."""

    _decoder: BlockDecoder[Any]

    def __init__(self, options: Http2Options, stats: Http2Stats, limits: Limits) -> None:
        super().__init__(options, stats)
        self._limits = limits
        self._begun = True
        self._buffer = bytearray()
        self._block: list[bytes] | None = None  # a header block whose end has not come
        self._block_stream = self._block_flags = self._block_size = 0
        self._max_block = limits.size + _MAX_BLOCK_SLACK
        self._max_continuations = _MAX_CONTINUATIONS + limits.size // frames.MIN_FRAME_SIZE
        self._handlers: tuple[Callable[[int, int, bytes], None], ...] = (
            self._on_data,
            self._on_headers,
            self._on_priority,
            self._on_rst_stream,
            self._on_settings,
            self._on_push_promise,
            self._on_ping,
            self._on_goaway,
            self._on_window_update,
            self._on_continuation,
        )

    def _begin(self, settings: dict[Setting, int]) -> None:
        """Queue our SETTINGS, and the connection's window, which they cannot set."""
        self._output.append(frames.settings(settings))
        more = self.options.initial_connection_window_size - frames.DEFAULT_WINDOW
        if more > 0:
            self._output.append(frames.window_update(0, more))

    # --- in ---------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float = 0.0) -> list[Event]:
        """What `data` says, at `now` (seconds, of any clock). After a `failure` nothing is read any more."""
        if self.failure is not None:
            return []
        self._now = now
        self._last_meters.clear()
        events = self._events = []
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            at = self._skip_preface()
            end = len(buffer) if self._begun else 0
            while end - at >= frames.HEAD_SIZE:
                high, low, kind, flags, stream_id = frames.HEAD.unpack_from(buffer, at)
                size = high << 16 | low
                if size > frames.MIN_FRAME_SIZE:
                    raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "http2.frame_size_error")
                if end - at < frames.HEAD_SIZE + size:
                    break
                at += frames.HEAD_SIZE
                payload = bytes(buffer[at : at + size])
                at += size
                try:
                    self._on_frame(kind, flags, stream_id & frames.MAX_STREAM_ID, payload)
                except StreamFailed as failed:
                    self._fail_stream(failed)
            self._check_unsent()
        except ConnectionFailed as failed:
            self._fail(failed)
        del buffer[:at]
        return events

    @property
    def unfinished_head(self) -> int:
        """The stream whose header block has begun and not ended; 0 if none has."""
        return self._block_stream if self._block is not None else 0

    def _skip_preface(self) -> int:
        """How many bytes at the beginning are no frames; `_begun` once they are all here."""
        return 0

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None:
            if kind != frames.CONTINUATION or stream_id != self._block_stream:
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        elif not self._settled and (kind != frames.SETTINGS or flags & frames.ACK):
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        if kind <= frames.CONTINUATION:
            self._handlers[kind](flags, stream_id, payload)
        else:
            self._budget.payload(empty=not payload)  # RFC 9113 5.5: ignored

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        if size > self._receive_window:
            raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "http2.flow_control_error")
        self._receive_window -= size
        data = frames.unpadded(flags, payload)
        end = flags & frames.END_STREAM
        self._budget.payload(empty=not data and not end)
        stream = self._streams.get(stream_id)
        if stream is None or stream.remote_ended:
            self._check_used(stream_id)
            self._give_back(size)
            if stream is None and self._over.get(stream_id):
                return  # on its way when we reset the stream
            raise StreamFailed(stream_id, ErrorCode.STREAM_CLOSED, "http2.stream_closed")
        if not stream.headed or (self.client and not stream.answered):
            self._give_back(size)
            raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        if size > stream.receive_window:
            self._give_back(size)
            raise StreamFailed(stream_id, ErrorCode.FLOW_CONTROL_ERROR, "http2.flow_control_error")
        stream.receive_window -= size
        stream.meter.received += frames.HEAD_SIZE + size
        stream.received += len(data)
        if size != len(data):
            self.credit(stream_id, size - len(data))
        if stream.expected >= 0 and (stream.received > stream.expected or (end and stream.received != stream.expected)):
            self._give_back(len(data))
            raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR, RULE)
        if data:
            self._events.append(DataReceived(stream_id, data))
        if end:
            self._end_remote(stream)
            self._events.append(StreamEnded(stream_id))

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        block = frames.unpadded(flags, payload)
        depends_on_itself = False
        if flags & frames.PRIORITIZED:
            if len(block) < 5:
                raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "http2.frame_size_error")
            depends_on_itself = int.from_bytes(block[:4], "big") & frames.MAX_STREAM_ID == stream_id
            block = block[5:]
        self._budget.payload(empty=not block and not flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self._on_block(stream_id, flags, block, broken=depends_on_itself)
            return
        self._block = [block]
        self._block_stream, self._block_size = stream_id, len(block)
        self._block_flags = flags | (frames.PRIORITIZED if depends_on_itself else 0)
        if not depends_on_itself:
            self._block_flags &= ~frames.PRIORITIZED

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is None:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        self._block.append(payload)
        self._block_size += len(payload)
        if len(self._block) > self._max_continuations or self._block_size > self._max_block:
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "http2.continuation_flood")
        if flags & frames.END_HEADERS:
            block, self._block = b"".join(self._block), None
            self._on_block(stream_id, self._block_flags, block, broken=bool(self._block_flags & frames.PRIORITIZED))

    @abc.abstractmethod
    def _on_block(self, stream_id: int, flags: int, block: bytes, *, broken: bool) -> None:
        """A whole header block; `broken`: its stream depends on itself (RFC 7540 5.3.1), which ends the stream."""

    def _on_rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "http2.frame_size_error")
        self._check_used(stream_id)
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        code = int.from_bytes(payload, "big")
        stream.meter.received += frames.HEAD_SIZE + len(payload)
        self.stats.rx_reset.inc()
        if code == ErrorCode.REFUSED_STREAM and not self.client:
            self.stats.stream_refused_errors.inc()
        self._events.append(StreamReset(stream_id, code))
        self._last_meters[stream_id] = stream.meter
        self._close(stream, ours=False)
        self._on_reset(stream)

    def _on_reset(self, stream: Stream) -> None:
        """The peer has reset `stream`, or made us do it."""

    def _read_head(self, stream_id: int, decoder: BlockDecoder[Head], block: bytes) -> Head:
        """The head in `block`, which may cost the stream, or the connection."""
        try:
            return decoder.decode(block)
        except Overflow as error:
            self._count_overflow(str(error))
            raise StreamFailed(stream_id, ErrorCode.INTERNAL_ERROR, str(error)) from None
        except Malformed as error:
            raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR, str(error), invalid=True) from None

    def _count_overflow(self, detail: str) -> None:
        if detail == TOO_MANY:
            self.stats.header_overflow.inc()
        elif detail == TOO_LARGE:
            self.stats.header_list_size_too_large.inc()

    def _on_trailers(self, stream: Stream | None, stream_id: int, flags: int, block: bytes) -> None:
        """A block that begins nothing: trailers, or an error."""
        pairs = self._decoder.decode_list(block)
        if stream is None:
            closed = self._over.get(stream_id)
            if closed or (closed is None and self.client):
                if not self.client:
                    self._over[stream_id] = False  # of a request there cannot be another one
                return  # on its way when we reset the stream
            known = closed is not None
            raise ConnectionFailed(
                ErrorCode.STREAM_CLOSED if known else ErrorCode.PROTOCOL_ERROR,
                "http2.stream_closed" if known else "http2.protocol_error",
            )
        if stream.remote_ended:
            raise StreamFailed(stream_id, ErrorCode.STREAM_CLOSED, "http2.stream_closed")
        if stream.tunnel:  # RFC 9113 8.5: nothing but DATA
            raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR, RULE)
        try:
            items = trailers(pairs, self._limits)
        except Overflow as error:
            raise StreamFailed(stream_id, ErrorCode.INTERNAL_ERROR, str(error)) from None
        except Malformed as error:
            raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR, str(error), invalid=True) from None
        stream.meter.count_head(frames.HEAD_SIZE + len(block))
        self._end_with(stream, flags, items)

    def _end_with(self, stream: Stream, flags: int, items: list[Pair]) -> None:
        """The trailers of `stream`, which end it. Envoy counts those of requests."""
        if not self.client:
            self.stats.trailers.inc()
        if not flags & frames.END_STREAM:
            raise StreamFailed(stream.id, ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        if 0 <= stream.expected != stream.received:
            raise StreamFailed(stream.id, ErrorCode.PROTOCOL_ERROR, RULE)
        self._end_remote(stream)
        self._events.append(StreamEnded(stream.id, Headers(items)))

    def _fail_stream(self, failed: StreamFailed) -> None:
        if failed.invalid:
            self.stats.rx_messaging_error.inc()
            if not self.options.stream_error:
                raise ConnectionFailed(failed.code, failed.detail)
        self.stats.tx_reset.inc()
        self._answer(frames.rst_stream(failed.stream_id, failed.code))
        stream = self._streams.get(failed.stream_id)
        if stream is not None:
            self._last_meters[failed.stream_id] = stream.meter
            self._close(stream, ours=True)
            self._events.append(StreamReset(failed.stream_id, failed.code, True, failed.detail))
            self._on_reset(stream)
