"""HTTP/1.1 upstream: requests out, responses in, one exchange at a time. Sans-IO."""

from __future__ import annotations

from proxy.config.http1 import UpstreamHttp1Options
from proxy.http import h1_connection, h1_head, h1_outgoing, h1_target, header_case
from proxy.http.codec import CodecError
from proxy.http.events import (
    ConnectionEnded,
    DataReceived,
    Event,
    InformationalReceived,
    ResponseReceived,
    StreamEnded,
)
from proxy.http.h1_framing import BodyReader, ChunkedReader, SizedReader, UntilCloseReader
from proxy.http.h1_head import HeadReader, ResponseHead
from proxy.http.h1_inbox import Inbox
from proxy.http.h1_sender import H1Sender
from proxy.http.h1_strict import AUTHORITY, PATH, TOKEN
from proxy.http.h1_writer import BodyWriter, RawWriter, render_head, unwritable
from proxy.http.headers import Headers, KeyFormat

# An origin that answers 1xx for ever would hold the exchange without ever answering it (Go's transport stops at 5).
MAX_INFORMATIONAL = 16


def written_request(
    method: bytes,
    path: bytes,
    authority: bytes,
    headers: Headers,
    *,
    end_stream: bool,
    whole_url: bool = False,
    key_format: KeyFormat | None = None,
) -> tuple[bytes, BodyWriter]:
    """A request's head on the wire, and what writes its body. One that must not be sent raises `CodecError` (400)."""
    if not TOKEN.fullmatch(method):
        raise unwritable("method", status=400)
    if not AUTHORITY.fullmatch(authority):
        raise unwritable("authority", status=400)
    target = authority if method == b"CONNECT" else path
    if method != b"CONNECT" and not PATH.fullmatch(path):
        raise unwritable("path", status=400)
    fields, framing, writer = h1_outgoing.frame_request(method, headers, end_stream=end_stream)
    if whole_url and method != b"CONNECT":
        target = h1_target.absolute(headers.get(b"x-forwarded-proto"), authority, path)
    key_format = headers.key_format or key_format
    host = b"host" if key_format is None else key_format(b"host")
    first_line = b"%b %b HTTP/1.1\r\n%b: %b\r\n" % (method, target, host, authority)
    return render_head(first_line, fields + framing, status=400, key_format=key_format), writer


class H1ClientCodec(H1Sender):
    """Implements `ClientCodec`. Exchanges are numbered 1, 2, 3…; there is one at a time, so `stream_id` is not used.

    Protocol errors of the upstream are `CodecError`s with status 502, a connection that ended instead of an answer one
    with status 503 (`connection_termination`); a request that cannot be written raises one with status 400 and queues
    nothing. After a 101 to a request with `upgrade`, or a 2xx to CONNECT, the connection is a tunnel: data passes
    through both ways, and the upstream's end of sending is a `StreamEnded`.
    """

    def __init__(
        self,
        *,
        max_headers_bytes: int = 60 * 1024,
        max_headers_count: int = 100,
        options: UpstreamHttp1Options = UpstreamHttp1Options(enable_trailers=True),  # noqa: B008 (frozen)
    ) -> None:
        super().__init__(enable_trailers=options.enable_trailers, sent=True)
        self._options = options
        self._remember = header_case.reader(options.header_case)
        self._key_format = header_case.written_here(options.header_case)
        self._max_headers_bytes = max_headers_bytes
        self._max_headers_count = max_headers_count
        self._inbox = Inbox()
        self._heads = HeadReader(self._inbox, max_headers_bytes)
        self._stream_id = 0
        self._method = b""
        self._upgrading = False
        self._informational = 0
        self._answered = True
        self._body: BodyReader | None = None
        self._ended = False
        self._failure: CodecError | None = None

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request now: nothing is under way, unread or promised to end."""
        return self._sent and self._answered and not self._close

    # --- out --------------------------------------------------------------------------------------------------------

    def send_request(
        self,
        method: bytes,
        path: bytes,
        authority: bytes,
        headers: Headers,
        *,
        end_stream: bool,
    ) -> int:
        if not self.reusable:
            raise RuntimeError("the connection cannot carry another request")
        head, writer = written_request(
            method,
            path,
            authority,
            headers,
            end_stream=end_stream,
            whole_url=self._options.send_fully_qualified_url,
            key_format=self._key_format,
        )
        self._output.append(head)
        self._header_bytes_sent = len(head) - head.index(b"\r\n") - 4
        self._stream_id += 1
        self._method = method
        self._writer = writer
        self._upgrading = b"upgrade" in headers and b"upgrade" in h1_connection.tokens(headers, b"connection")
        self._close = h1_connection.closes(headers, b"1.1")
        self._sent = end_stream
        self._answered = False
        self._body = None
        self._informational = 0
        return self._stream_id

    # --- in ---------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Events of the current exchange that `data` completes. Raises `CodecError`, and the same one ever after."""
        if self._failure:
            raise self._failure
        if data:
            self._inbox.append(data)
        else:
            self._ended = True
        try:
            return self._read()
        except CodecError as error:
            self._close = True
            # Whatever is wrong with a response, it is the upstream's fault: a bad gateway, never a bad request.
            self._failure = CodecError(error.detail, status=503 if error.status == 503 else 502)
            raise self._failure from error

    def _read(self) -> list[Event]:
        if self._answered:
            return self._read_idle()
        events: list[Event] = []
        while self._body is None:
            raw = self._read_head()
            if raw is None:
                return events
            head = h1_head.parse_response(
                raw, max_headers_count=self._max_headers_count, upgrading=self._upgrading, remember=self._remember
            )
            if head.status < 200 and head.status != 101:
                self._count_informational()
                events.append(InformationalReceived(self._stream_id, head.status, head.headers, raw))
                continue
            self._body = self._body_reader(head)
            self._close = self._close or h1_connection.closes(head.headers, head.version)
            events.append(
                ResponseReceived(
                    stream_id=self._stream_id,
                    status=head.status,
                    protocol=f"HTTP/{head.version.decode('ascii')}",
                    headers=head.headers,
                    end_stream=self._body.complete,
                    head=raw,
                )
            )
            if self._body.complete:
                self._finish()
                return events
        self._read_body(self._body, events)
        return events

    @property
    def body_ahead(self) -> int:
        """How many bytes that come next may go around: see `BodyReader.ahead`."""
        body = self._body
        return 0 if body is None or self._ended or self._failure or len(self._inbox) else body.ahead

    def received_around(self, count: int) -> None:
        """`count` of them did."""
        assert self._body is not None
        self._body.skip(count)

    def _read_idle(self) -> list[Event]:
        """Between exchanges an upstream may close, but it has nothing to say: bytes here belong to no request."""
        self._close = True
        if len(self._inbox):
            raise CodecError("http1.surplus_data", status=502)
        return [ConnectionEnded()]

    def _read_head(self) -> bytes | None:
        raw = self._heads.read()
        if raw is None and self._ended:
            # Envoy: an upstream that closed without a word may be asked again; half an answer is a protocol error.
            raise _truncated() if self._heads.begun else CodecError("connection_termination", status=503)
        return raw

    def _count_informational(self) -> None:
        self._informational += 1
        if self._informational > MAX_INFORMATIONAL:
            raise CodecError("http1.too_many_informational_responses", status=502)

    def _body_reader(self, head: ResponseHead) -> BodyReader:
        """RFC 9112 section 6.3, in its order."""
        if head.status == 101 or (self._method == b"CONNECT" and 200 <= head.status < 300):
            self._open_tunnel()
            return UntilCloseReader()
        if self._method == b"HEAD" or head.status in (204, 304):
            return SizedReader(0)
        if head.chunked:
            return ChunkedReader(max_trailers_bytes=self._max_headers_bytes, max_trailers_count=self._max_headers_count)
        if head.content_length is not None:
            return SizedReader(head.content_length)
        self._close = True
        return UntilCloseReader()

    def _open_tunnel(self) -> None:
        self._close = True
        self._writer = RawWriter()
        self._sent = False

    def _read_body(self, body: BodyReader, events: list[Event]) -> None:
        data = body.read(self._inbox)
        if data:
            events.append(DataReceived(self._stream_id, data))
        if body.complete or (self._ended and body.end_of_input()):
            events.append(StreamEnded(self._stream_id, body.trailers if self._options.enable_trailers else None))
            self._finish()
        elif self._ended:
            raise _truncated()

    def _finish(self) -> None:
        """The response is complete. Bytes behind it belong to no request (response splitting): never delivered.

        Nor is a connection used again whose response overtook its request: the upstream may still be reading that.
        """
        self._answered = True
        if len(self._inbox) or self._ended or not self._sent:
            self._close = True


def _truncated() -> CodecError:
    return CodecError("http1.truncated_response", status=502)
