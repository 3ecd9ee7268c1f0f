"""HTTP/2 upstream: requests out, responses in, many exchanges at a time. Sans-IO."""

from __future__ import annotations

from proxy.config.http2 import Http2Options
from proxy.http import h2_frames as frames
from proxy.http import h2_strict
from proxy.http.codec import CodecError
from proxy.http.events import InformationalReceived, ResponseReceived, StreamEnded, StreamReset
from proxy.http.h1_strict import AUTHORITY, PATH, TOKEN
from proxy.http.h2_connection import H2Connection
from proxy.http.h2_frames import ErrorCode, Setting, StreamFailed
from proxy.http.h2_heads import Pair
from proxy.http.h2_hpack import BlockDecoder
from proxy.http.h2_stats import Http2Stats
from proxy.http.h2_stream import Stream
from proxy.http.h2_strict import RULE, Malformed, ResponseHead
from proxy.http.headers import Headers

MAX_INFORMATIONAL = 16
"""1xx responses to one request, as of HTTP/1 upstreams: header blocks have no window."""

_SCHEMES = frozenset({b"http", b"https"})
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
    ) -> None:
        super().__init__(options, stats, h2_strict.Limits(max_headers_bytes, max_headers_count))
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
            raise _unwritable("content")
        first = _pseudo(method, path, authority, scheme, protocol)
        fields = _fields(headers, tunnel=tunnel)
        promised = _content_length(fields)
        if end_stream and promised > 0:
            raise _unwritable("content_length")
        self._now = now
        self._highest = stream_id = self._highest + 2 if self._highest else 1
        stream = self._open(stream_id)
        stream.headed = True
        stream.no_body = method == b"HEAD"
        stream.promised = promised
        stream.tunnel, stream.protocol = tunnel, protocol
        ends = end_stream and not tunnel
        self._queue_block(stream, self._encoder.encode((*first, *fields)), end_stream=ends)
        if ends:
            self._end_local(stream)
        return stream_id

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
        self._events.append(ResponseReceived(stream_id, head.status, _PROTOCOL, Headers(head.items), end_stream))
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


def _unwritable(what: str) -> CodecError:
    return CodecError(f"http2.unwritable_{what}", status=400)


def _pseudo(method: bytes, path: bytes, authority: bytes, scheme: bytes, protocol: bytes) -> tuple[Pair, ...]:
    """RFC 9113 8.3.1, RFC 8441 section 4."""
    if not TOKEN.fullmatch(method):
        raise _unwritable("method")
    if not AUTHORITY.fullmatch(authority):
        raise _unwritable("authority")
    if method == b"CONNECT":
        return ((b":method", method), (b":authority", authority))
    if not PATH.fullmatch(path):
        raise _unwritable("path")
    if scheme not in _SCHEMES:
        raise _unwritable("scheme")
    first = (b":scheme", scheme), (b":authority", authority), (b":path", path)
    if not protocol:
        return ((b":method", method), *first)
    if not TOKEN.fullmatch(protocol):
        raise _unwritable("protocol")
    return ((b":method", b"CONNECT"), *first, (b":protocol", protocol))


def _fields(headers: Headers, *, tunnel: bool) -> Headers:
    """`headers` without those of HTTP/1, and without a length of what has none, checked."""
    kept = h2_strict.without_connection(headers)
    if tunnel and b"content-length" in kept:
        kept = Headers(pair for pair in kept.items if pair[0] != b"content-length")
    if any(name == b"host" or (name == b"te" and value != b"trailers") for name, value in kept.items):
        kept = Headers(pair for pair in kept.items if pair[0] not in (b"host", b"te") or pair == (b"te", b"trailers"))
    for name, value in kept.items:
        if not h2_strict.is_field(name, value):
            raise _unwritable("header")
    return kept


def _content_length(headers: Headers) -> int:
    """-1 if they say none."""
    values = headers.get_all(b"content-length")
    if not values:
        return -1
    if len(values) > 1 or not values[0].isdigit():
        raise _unwritable("content_length")
    return int(values[0])
