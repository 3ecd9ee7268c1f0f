"""HTTP/2 upstream: requests out, responses in, many exchanges at a time. Sans-IO."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.config.http2 import Http2Options
from proxy.http import h2_frames as frames
from proxy.http import h2_strict
from proxy.http.codec import CodecError
from proxy.http.events import AnswerReceived, InformationalReceived, ResponseReceived, StreamEnded, StreamReset
from proxy.http.h2_connection import H2Connection
from proxy.http.h2_first_window import GENEROUS, LARGE_WINDOW, Crowd
from proxy.http.h2_frames import ErrorCode, Setting, StreamFailed
from proxy.http.h2_heads import Pair, ResponseHead
from proxy.http.h2_hpack import BlockDecoder
from proxy.http.h2_request_fields import request_fields, unwritable
from proxy.http.h2_stats import Http2Stats
from proxy.http.h2_stream import Stream
from proxy.http.h2_strict import RULE, Malformed
from proxy.http.headers import Headers

MAX_INFORMATIONAL = 16
"""1xx responses to one request, as of HTTP/1 upstreams: header blocks have no window."""

_NO_BODY = frozenset({204, 304})
_PROTOCOL = "HTTP/2"


class H2ClientCodec(H2Connection):
    """The upstream side of HTTP/2. Stream ids are HTTP/2's.

    * A request that cannot be written raises `CodecError` (400) and queues nothing, and so does a body of another
      length than its head has promised.
    * Streams that the peer has not looked at (GOAWAY) end as those that it refuses: by a `StreamReset` of
      `REFUSED_STREAM`.
    * A GET with `upgrade` is sent as an extended CONNECT (RFC 8441), and the consent to it is told as HTTP/1.1 would
      have it: a 101. From then on, and after a 2xx to CONNECT, data is a tunnel's, and so is its end.
    * `crowd` counts the streams of all connections to the cluster, by which windows are large or small at first.
    * Nothing is pushed to us: we say so, and whoever tries breaks the protocol.
    """

    client = True

    def __init__(
        self,
        options: Http2Options,
        stats: Http2Stats,
        *,
        max_headers_bytes: int = 60 * 1024,
        max_headers_count: int = 100,
        crowd: Crowd | None = None,
    ) -> None:
        super().__init__(options, stats, h2_strict.Limits(max_headers_bytes, max_headers_count))
        self._crowd = crowd or Crowd()
        self._grows = options.initial_stream_window_size > LARGE_WINDOW
        if self._grows:
            self.first_window = GENEROUS
        # As in `H2ServerCodec`: what is too long for us is still read, as it may change the table.
        self._decoder = self._heads = BlockDecoder(options.hpack_table_size, 4 * max_headers_bytes, self._understand)
        self._output.append(frames.PREFACE)
        self._begin(
            {
                Setting.ENABLE_PUSH: 0,
                Setting.HEADER_TABLE_SIZE: options.hpack_table_size,
                Setting.ENABLE_CONNECT_PROTOCOL: int(options.allow_connect),
                Setting.MAX_CONCURRENT_STREAMS: options.max_concurrent_streams,
                Setting.INITIAL_WINDOW_SIZE: self.first_window,
            }
        )

    @property
    def settled(self) -> bool:
        """Whether the peer has said what it takes."""
        return self._settled

    @property
    def streams_left(self) -> int:
        """How many streams may still be opened in this connection's life (RFC 9113 5.1.1)."""
        return (frames.MAX_STREAM_ID - self._highest) // 2

    # --- out --------------------------------------------------------------------------------------------------------

    def send_request(
        self,
        method: bytes,
        path: bytes,
        authority: bytes,
        headers: Headers,
        *,
        end_stream: bool,
        scheme: bytes = b"http",
        now: float = 0.0,
    ) -> int:
        """Queue a request head at `now`; returns its stream id."""
        protocol = headers.get(b"upgrade") or b"" if method != b"CONNECT" else b""
        tunnel = method == b"CONNECT" or protocol != b""
        if tunnel and not end_stream:  # RFC 9110 9.3.6: it has no content
            raise unwritable("content")
        fields, promised = request_fields(method, path, authority, headers, scheme, tunnel=tunnel, protocol=protocol)
        if end_stream and promised > 0:
            raise unwritable("content_length")
        stream = self._begin_stream(now)
        stream.no_body = method == b"HEAD"
        stream.promised = promised
        stream.tunnel, stream.protocol = tunnel, protocol
        ends = end_stream and not tunnel
        self._queue_block(stream, self._encoder.encode(fields), end_stream=ends)
        if ends:
            self._end_local(stream)
        return stream.id

    def takes_whole(self, size: int) -> bool:
        """Whether `send_whole` may be called with a body of `size` bytes."""
        return size <= self.peer_initial_window and self._takes_framed(size)

    def send_whole(self, fields: Sequence[Pair], body: bytes, now: float) -> Stream:
        """Queue a whole request at `now`: `fields` are what `request_fields` has made of its head, which is no HEAD,
        and promises a body as long as this one. Its response begins with an `AnswerReceived`.
        """
        stream = self._begin_stream(now)
        stream.tells_head = True
        self._queue_block(stream, self._encoder.encode(fields), end_stream=not body)
        if body:
            self._frame_body(stream, body)
        self._end_local(stream)
        return stream

    def _begin_stream(self, now: float) -> Stream:
        self._now = now
        self._highest = stream_id = self._highest + 2 if self._highest else 1
        stream = self._open(stream_id)
        stream.headed = True
        return stream

    def send_data(self, stream_id: int, data: bytes) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and stream.promised >= 0:
            stream.promised -= len(data)
            if stream.promised < 0:
                raise CodecError("http2.body_longer_than_content_length", status=400)
        super().send_data(stream_id, data)

    def send_end(self, stream_id: int, trailers: Headers | None = None) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and stream.promised > 0:
            raise CodecError("http2.body_shorter_than_content_length", status=400)
        super().send_end(stream_id, trailers)

    def _open(self, stream_id: int) -> Stream:
        if self._grows:
            window = self._crowd.first_window(self.first_window)
            if window != self.first_window:
                self._resize_first_windows(window)
        self._crowd.streams += 1
        stream = super()._open(stream_id)
        if self._grows:
            stream.receive_window = GENEROUS
        return stream

    def _resize_first_windows(self, size: int) -> None:
        """All windows of the peer's change with the first one (RFC 9113 6.9.2), once it has heard of that. What it has
        sent before is not held against it: what we would take of a stream is what the larger one allows.
        """
        for stream in self._streams.values():
            stream.window += size - self.first_window
        self.first_window = size
        self._queue(frames.settings({Setting.INITIAL_WINDOW_SIZE: size}))

    def _close(self, stream: Stream, *, ours: bool) -> None:
        self._crowd.streams -= 1
        super()._close(stream, ours=ours)

    # --- in ---------------------------------------------------------------------------------------------------------

    def _understand(self, pairs: list[Pair]) -> ResponseHead:
        head = h2_strict.response_head(pairs, self._limits)
        if head.status == 101:  # RFC 9113 8.6
            raise Malformed(RULE)
        return head

    def _on_block(self, stream_id: int, flags: int, block: bytes, *, broken: bool) -> None:
        self._check_used(stream_id)
        stream = self._streams.get(stream_id)
        if stream is None or stream.remote_ended or stream.answered:
            self._on_trailers(stream, stream_id, flags, block)
            return
        head = self._read_head(stream_id, self._heads, block)
        if broken:
            raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR, "http2.protocol_error")
        stream.meter.count_head(frames.HEAD_SIZE + len(block))
        end_stream = bool(flags & frames.END_STREAM)
        if head.status < 200:
            self._on_informational(stream, head, end_stream=end_stream)
            return
        bodiless = stream.no_body or head.status in _NO_BODY
        if head.content_length > 0 and not bodiless and end_stream:
            raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR, RULE, invalid=True)
        stream.answered = True
        if stream.tunnel and head.status < 300:
            self._on_consent(stream, head, end_stream=end_stream)
            return
        stream.tunnel = False
        stream.expected = 0 if bodiless else head.content_length
        if stream.tells_head:
            self._events.append(AnswerReceived(stream_id, head, end_stream))
        else:
            self._events.append(response_of(stream_id, head, end_stream=end_stream))
        if end_stream:
            self._end_remote(stream)

    def _on_consent(self, stream: Stream, head: ResponseHead, *, end_stream: bool) -> None:
        """The tunnel is open."""
        headers = Headers(pair for pair in head.items if pair[0] != b"content-length")
        status = head.status
        if stream.protocol:
            status = 101
            headers.add(b"upgrade", stream.protocol)
            headers.add(b"connection", b"upgrade")
        self._events.append(ResponseReceived(stream.id, status, _PROTOCOL, headers, False))
        if end_stream:
            self._end_remote(stream)
            self._events.append(StreamEnded(stream.id))

    def _on_informational(self, stream: Stream, head: ResponseHead, *, end_stream: bool) -> None:
        if end_stream:  # RFC 9113 8.1
            raise StreamFailed(stream.id, ErrorCode.PROTOCOL_ERROR, RULE, invalid=True)
        stream.informational += 1
        if stream.informational > MAX_INFORMATIONAL:
            raise StreamFailed(
                stream.id, ErrorCode.ENHANCE_YOUR_CALM, "http2.too_many_informational_responses", invalid=True
            )
        self._events.append(InformationalReceived(stream.id, head.status, Headers(head.items)))

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        super()._on_goaway(flags, stream_id, payload)
        last = int.from_bytes(payload[:4], "big") & frames.MAX_STREAM_ID
        for stream in [stream for stream in self._streams.values() if stream.id > last]:
            self._close(stream, ours=False)
            self._events.append(StreamReset(stream.id, ErrorCode.REFUSED_STREAM))


def response_of(stream_id: int, head: ResponseHead, *, end_stream: bool) -> ResponseReceived:
    """The response that begins with `head`."""
    return ResponseReceived(stream_id, head.status, _PROTOCOL, Headers(head.items), end_stream)
