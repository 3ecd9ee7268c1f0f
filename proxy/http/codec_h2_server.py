"""HTTP/2 downstream: requests in, responses out, many exchanges at a time. Sans-IO."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.config.http2 import Http2Options
from proxy.http import h1_connection, h2_strict
from proxy.http import h2_frames as frames
from proxy.http.codec import CodecError
from proxy.http.events import HeadReceived, RequestReceived, StreamEnded, StreamReset
from proxy.http.h2_budget import PREMATURE_AGE
from proxy.http.h2_connection import H2Connection
from proxy.http.h2_frames import ConnectionFailed, ErrorCode, Setting, StreamFailed
from proxy.http.h2_heads import Pair, RequestHead
from proxy.http.h2_hpack import BlockDecoder
from proxy.http.h2_stats import Http2Stats
from proxy.http.h2_stream import Stream
from proxy.http.h2_strict import Malformed, Overflow
from proxy.http.headers import Headers

_NO_BODY = frozenset({204, 304})
_PROTOCOL = "HTTP/2"

TOO_MANY_RESETS = "too_many_premature_resets"
"""Envoy's detail of a connection that ends by it."""


class H2ServerCodec(H2Connection):
    """Implements `ServerCodec` but for what presumes one exchange at a time; stream ids are HTTP/2's.

    * A request whose head is refused is a `StreamReset` alone, and so is the end of one that breaks later.
    * An extended CONNECT (RFC 8441) is told as HTTP/1.1 would have it: a GET with `upgrade`. The 101 that answers it
      is sent as a 200, and from then on data passes both ways until both have ended.
    * `tells_heads`: a request is told as a `HeadReceived`, unless it is a CONNECT; `request_of` makes of that what it
      would have been.
    * The request of a tunnel, which any CONNECT is, has no body: its data is the tunnel's, and so is its end.
    * Who resets too many streams before their answer, or makes us do it, loses the connection (`h2_budget.py`).
    """

    def __init__(
        self,
        options: Http2Options,
        stats: Http2Stats,
        *,
        max_headers_bytes: int = 60 * 1024,
        max_headers_count: int = 100,
    ) -> None:
        super().__init__(options, stats, h2_strict.Limits(max_headers_bytes, max_headers_count))
        self.tells_heads = False
        # A list that is too long for us must still be read, as its block may change the table. What goes on beyond is
        # no list but an attack.
        self._decoder = self._heads = BlockDecoder(options.hpack_table_size, 4 * max_headers_bytes, self._understand)
        self._begun = False
        self._begin(
            {
                Setting.HEADER_TABLE_SIZE: options.hpack_table_size,
                Setting.ENABLE_CONNECT_PROTOCOL: int(options.allow_connect),
                Setting.MAX_CONCURRENT_STREAMS: options.max_concurrent_streams,
                Setting.INITIAL_WINDOW_SIZE: options.initial_stream_window_size,
            }
        )

    # --- in ---------------------------------------------------------------------------------------------------------

    def _skip_preface(self) -> int:
        if self._begun:
            return 0
        size = min(len(self._buffer), len(frames.PREFACE))
        if self._buffer[:size] != frames.PREFACE[:size]:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.bad_client_magic")
        self._begun = size == len(frames.PREFACE)
        return size if self._begun else 0

    def _understand(self, pairs: list[Pair]) -> RequestHead:
        return h2_strict.request_head(pairs, self._limits, extended_connect=self.options.allow_connect)

    def _on_block(self, stream_id: int, flags: int, block: bytes, *, broken: bool) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None or stream_id <= self._highest:
            self._on_trailers(stream, stream_id, flags, block)
            return
        if not stream_id % 2:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        self._highest = stream_id
        end_stream = bool(flags & frames.END_STREAM)
        try:
            head = self._heads.decode(block)
        except Overflow as error:
            raise self._refusal(stream_id, ErrorCode.INTERNAL_ERROR, str(error)) from None
        except Malformed as error:
            raise self._refusal(stream_id, ErrorCode.PROTOCOL_ERROR, str(error), invalid=True) from None
        if broken:
            raise self._refusal(stream_id, ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        if self._goaway_at is not None or len(self._streams) >= self.options.max_concurrent_streams:
            raise self._refusal(stream_id, ErrorCode.REFUSED_STREAM, "http2.refused")
        if end_stream and head.content_length > 0:
            raise self._refusal(stream_id, ErrorCode.PROTOCOL_ERROR, h2_strict.RULE)
        stream = self._open(stream_id)
        stream.headed = True
        stream.meter.count_head(frames.HEAD_SIZE + len(block))
        stream.expected = head.content_length
        stream.remote_ended = end_stream
        stream.no_body = head.method == b"HEAD"
        stream.tunnel = head.method == b"CONNECT"
        if self.tells_heads and not stream.tunnel:
            self._events.append(HeadReceived(stream_id, head, end_stream))
            return
        self._events.append(self.request_of(stream_id, head, end_stream=end_stream or stream.tunnel))
        if stream.tunnel and end_stream:
            self._events.append(StreamEnded(stream_id))

    def _refusal(self, stream_id: int, code: ErrorCode, detail: str, *, invalid: bool = False) -> StreamFailed:
        """The error for a request that never becomes a stream."""
        self._count_overflow(detail)
        self._remember(stream_id, ours=True)
        self._events.append(StreamReset(stream_id, code, True, detail))
        if code != ErrorCode.REFUSED_STREAM:  # of those, too many are enough answers
            self._budget.ended += 1
            self._check_premature()
        return StreamFailed(stream_id, code, detail, invalid=invalid)

    def request_of(self, stream_id: int, head: RequestHead, *, end_stream: bool = True) -> RequestReceived:
        """The request that `head` is."""
        headers = Headers(head.items)
        method, upgrade = head.method, ""
        if head.protocol:
            method, upgrade = b"GET", head.protocol.decode("ascii").lower()
            headers.add(b"upgrade", head.protocol)
            headers.add(b"connection", b"upgrade")
        return RequestReceived(
            stream_id,
            method,
            head.scheme,
            head.authority,
            head.path,
            _PROTOCOL,
            headers,
            end_stream,
            b"expect" in headers and h1_connection.expects_continue(headers),
            upgrade,
        )

    def _close(self, stream: Stream, *, ours: bool) -> None:
        super()._close(stream, ours=ours)
        self._budget.ended += 1

    def _on_reset(self, stream: Stream) -> None:
        if not stream.answered and self._now - stream.opened_at < PREMATURE_AGE:
            self._check_premature()

    def _check_premature(self) -> None:
        """A stream has been reset before its answer."""
        if self._budget.premature():
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, TOO_MANY_RESETS)

    # --- out --------------------------------------------------------------------------------------------------------

    def send_informational(self, stream_id: int, status: int, headers: Headers) -> None:
        """Queue a 1xx other than 101."""
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.answered:
            self._send_head(stream, status, headers, end_stream=False)

    def send_headers(self, stream_id: int, status: int, headers: Headers, *, end_stream: bool) -> None:
        """Queue the final response head; nothing if the stream is over. One that must not be sent raises `CodecError`
        (502) and queues nothing.
        """
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if status == 101 and stream.tunnel:
            status = 200
        elif not 200 <= status <= 999:
            raise CodecError("http2.unwritable_status", status=502)
        if not all(h2_strict.is_field(*pair) for pair in headers.items):
            raise CodecError("http2.unwritable_header", status=502)
        if stream.tunnel and status < 300 and b"content-length" in headers:  # RFC 9110 9.3.6
            headers = Headers(pair for pair in headers.items if pair[0] != b"content-length")
        stream.no_body = stream.no_body or (status in _NO_BODY and not (stream.tunnel and status < 300))
        stream.answered = True
        self._send_head(stream, status, headers, end_stream=end_stream)
        if end_stream:
            self._end_local(stream)

    def _send_head(self, stream: Stream, status: int, headers: Headers, *, end_stream: bool) -> None:
        fields = h2_strict.without_connection(headers)
        block = self._encoder.encode(((b":status", b"%d" % status), *fields))
        self._queue_block(stream, block, end_stream=end_stream)

    def send_whole(
        self, stream_id: int, fields: Sequence[Pair], body: bytes | memoryview, trailers: Headers | None = None
    ) -> bool:
        """Queue a whole response, if all of it may go at once; queues nothing and says False if it may not. `fields`
        begin with `:status` and may be sent (`h2_strict.is_field`).
        """
        stream = self._streams.get(stream_id)
        if stream is None or stream.queued or not self._takes_whole(stream, len(body)):
            return False
        stream.answered = True
        last = trailers is None or not trailers.items
        self._queue_block(stream, self._encoder.encode(fields), end_stream=last and not body)
        if body:
            self._frame_body(stream, body, end_stream=last)
        if not last and trailers is not None:
            self._queue_block(stream, self._encoder.encode(trailers), end_stream=True)
        self._end_local(stream)
        return True

    def send_data(self, stream_id: int, data: bytes) -> None:
        """Queue body bytes; of a response that may have none they are dropped."""
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.no_body:
            super().send_data(stream_id, data)
