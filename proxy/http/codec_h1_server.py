"""HTTP/1.1 downstream: requests in, responses out, one exchange at a time. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable

from proxy.config.http1 import HeaderCase
from proxy.http import h1_connection, h1_head, h1_outgoing
from proxy.http import header_case as header_case_of
from proxy.http.codec import CodecError
from proxy.http.events import ConnectionEnded, DataReceived, Event, RequestReceived, StreamEnded
from proxy.http.h1_framing import BodyReader, ChunkedReader, SizedReader, UntilCloseReader
from proxy.http.h1_head import HeadReader, RequestHead
from proxy.http.h1_inbox import Inbox
from proxy.http.h1_sender import H1Sender
from proxy.http.h1_writer import render_head, unwritable
from proxy.http.headers import Headers, KeyFormat


class H1ServerCodec(H1Sender):
    """Implements `ServerCodec`. Exchanges are numbered 1, 2, 3…; there is one at a time, so `stream_id` is not used.

    * Bytes behind a complete request wait until `next_exchange()`; the caller bounds them by not receiving meanwhile.
    * After a `CodecError` the codec can still write one reply if no response was begun; `keep_alive` is False then.
    * A 101, or a 2xx to CONNECT, opens a tunnel: `next_exchange()` then hands out what the client had already sent,
      `receive` and `send_data` pass bytes through, and the client's end of sending is a `StreamEnded`.
    * `scheme` is the one of the connection (https over TLS); an absolute-form target overrules it.
    * `accept_http_10`, `default_host_for_http_10`, `allow_absolute_url`, `allow_custom_methods` and `enable_trailers`
      are `Http1ProtocolOptions`' fields. Without absolute URLs such a target is a path, which its reader refuses.
      `ignores_upgrade` says of a lower-case protocol whether an offer of it is passed over.
    """

    def __init__(
        self,
        *,
        max_headers_bytes: int = 60 * 1024,
        max_headers_count: int = 100,
        scheme: bytes = b"http",
        accept_http_10: bool = False,
        default_host_for_http_10: bytes = b"",
        allow_absolute_url: bool = True,
        allow_custom_methods: bool = False,
        enable_trailers: bool = True,
        header_case: HeaderCase | None = None,
        ignores_upgrade: Callable[[bytes], bool] | None = None,
    ) -> None:
        super().__init__(enable_trailers=enable_trailers, sent=False)
        self._max_headers_bytes = max_headers_bytes
        self._max_headers_count = max_headers_count
        self._scheme = scheme
        self._accept_http_10 = accept_http_10
        self._default_host_for_http_10 = default_host_for_http_10
        self._allow_absolute_url = allow_absolute_url
        self._allow_custom_methods = allow_custom_methods
        self._ignores_upgrade = ignores_upgrade
        self._remember = header_case_of.reader(header_case)
        self._key_format = header_case_of.written_here(header_case)
        self._inbox = Inbox()
        self._heads = HeadReader(self._inbox, max_headers_bytes)
        self._stream_id = 1
        self._request: RequestHead | None = None
        self._upgrade = ""
        self._body: BodyReader | None = None
        self._tunnel = False
        self._ended = False
        self._failure: CodecError | None = None

    @property
    def keep_alive(self) -> bool:
        """Whether another exchange may follow. Known from `send_headers` on, which announces a close to the client."""
        return not self._close

    @property
    def begun(self) -> bool:
        """Whether bytes of a request have come that no event has told of yet."""
        return self._heads.begun

    @property
    def held(self) -> int:
        return len(self._inbox)

    # --- in ---------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Events of the current exchange that `data` completes. Raises `CodecError`, and the same one ever after."""
        if data:
            self._inbox.append(data)
        else:
            self._ended = True
        return self._read()

    def next_exchange(self) -> list[Event]:
        """Go on to the next request (or, in a tunnel, to its first bytes)."""
        if not self._tunnel:
            if not (self._sent and self._request_complete) or self._close:
                raise RuntimeError("the exchange is not over, or the connection ends with it")
            self._stream_id += 1
            self._header_bytes_sent = 0
            self._request = self._body = self._writer = None
            self._upgrade = ""
            self._sent = False
            if not len(self._inbox) and not self._ended:
                return []
        return self._read()

    @property
    def body_ahead(self) -> int:
        """How many bytes that come next may go around: see `BodyReader.ahead`."""
        body = self._body
        return 0 if body is None or self._ended or self._failure or len(self._inbox) else body.ahead

    def received_around(self, count: int) -> None:
        """`count` of them did."""
        assert self._body is not None
        self._body.skip(count)

    def _read(self) -> list[Event]:
        if self._failure:
            raise self._failure
        try:
            events: list[Event] = []
            if self._request is None:
                self._read_head(events)
            if self._body is not None and not self._body.complete:
                self._read_body(self._body, events)
            elif self._ended:
                events.append(ConnectionEnded())
            return events
        except CodecError as error:
            self._failure = error
            self._close = True
            raise

    @property
    def _request_complete(self) -> bool:
        return self._request is not None and self._body is not None and self._body.complete

    def _read_head(self, events: list[Event]) -> None:
        self._heads.skip_empty_lines()
        raw = self._heads.read()
        if raw is None:
            if self._ended and self._heads.begun:
                raise CodecError("downstream_remote_disconnect", status=0)
            return
        head = h1_head.parse_request(
            raw,
            max_headers_count=self._max_headers_count,
            accept_http_10=self._accept_http_10,
            default_host_for_http_10=self._default_host_for_http_10,
            allow_absolute_url=self._allow_absolute_url,
            allow_custom_methods=self._allow_custom_methods,
            remember=self._remember,
        )
        self._request = head
        self._body = self._body_reader(head)
        self._close = self._close or h1_connection.closes(head.headers, head.version)
        if head.version == b"1.1":
            self._upgrade = h1_connection.take_upgrade(head.headers, self._ignores_upgrade)
        events.append(
            RequestReceived(
                stream_id=self._stream_id,
                method=head.method,
                scheme=head.scheme or self._scheme,
                authority=head.authority,
                path=head.path,
                protocol=f"HTTP/{head.version.decode('ascii')}",
                headers=head.headers,
                end_stream=self._body.complete,
                expect_continue=head.version == b"1.1" and h1_connection.expects_continue(head.headers),
                upgrade=self._upgrade,
                head=raw,
            )
        )

    def _body_reader(self, head: RequestHead) -> BodyReader:
        """RFC 9112 6.3: a request without Transfer-Encoding and Content-Length has no body."""
        if head.chunked:
            return ChunkedReader(max_trailers_bytes=self._max_headers_bytes, max_trailers_count=self._max_headers_count)
        return SizedReader(head.content_length or 0)

    def _read_body(self, body: BodyReader, events: list[Event]) -> None:
        data = body.read(self._inbox)
        if data:
            events.append(DataReceived(self._stream_id, data))
        if body.complete or (self._ended and body.end_of_input()):
            events.append(StreamEnded(self._stream_id, body.trailers if self._enable_trailers else None))
        elif self._ended:
            raise CodecError("downstream_remote_disconnect", status=0)

    # --- out --------------------------------------------------------------------------------------------------------

    def send_informational(self, stream_id: int, status: int, headers: Headers) -> None:
        """Queue a 1xx. RFC 9110 15.2: "A server MUST NOT send a 1xx response to an HTTP/1.0 client": dropped then."""
        if self._writer is not None:
            raise RuntimeError("this exchange has a response")
        if not 100 <= status < 200 or status == 101:
            raise unwritable("status", status=502)
        if self._request is not None and self._request.version == b"1.1":
            self._queue_head(h1_outgoing.status_line(status, reason=headers.reason), headers.items, headers.key_format)

    def send_headers(self, stream_id: int, status: int, headers: Headers, *, end_stream: bool) -> None:
        """Queue the final response head. Framing and `connection: close` are the codec's to add.

        A head that must not be sent raises `CodecError` (502) and queues nothing.
        """
        if self._writer is not None:
            raise RuntimeError("this exchange has a response")
        if not 200 <= status <= 999 and not (status == 101 and self._upgrade):
            raise unwritable("status", status=502)
        opens_tunnel = self._opens_tunnel(status)
        version = self._request.version if self._request else b"1.1"
        fields, framing, writer = h1_outgoing.frame_response(
            status,
            headers,
            method=self._request.method if self._request else b"GET",
            version=version,
            opens_tunnel=opens_tunnel,
            end_stream=end_stream,
        )
        announced = b"close" in h1_connection.tokens(headers, b"connection")
        close = self._close or announced or opens_tunnel or not self._may_go_on
        if close and not announced and not opens_tunnel:
            fields.append((b"connection", b"close"))
        fields += framing
        self._queue_head(h1_outgoing.status_line(status, version, headers.reason), fields, headers.key_format)
        self._writer = writer
        self._close = close
        if opens_tunnel:
            self._tunnel = True
            self._body = UntilCloseReader()
        if end_stream:
            self._sent = True

    def _queue_head(self, first_line: bytes, fields: list[tuple[bytes, bytes]], key_format: KeyFormat | None) -> None:
        head = render_head(first_line, fields, status=502, key_format=key_format or self._key_format)
        self._output.append(head)
        self._header_bytes_sent += len(head) - len(first_line) - 2

    def _opens_tunnel(self, status: int) -> bool:
        """RFC 9112 6.3 rule 2, RFC 9110 7.8."""
        connect = self._request is not None and self._request.method == b"CONNECT"
        return status == 101 or (connect and 200 <= status < 300)

    @property
    def _may_go_on(self) -> bool:
        """Whether the next request can be told from this one's remains once the response is complete.

        A refused upgrade or CONNECT does not: its client may already be speaking the other protocol (CVE-2026-2833).
        Nor does a response that overtakes its request (CVE-2025-4366).
        """
        asked_to_leave = self._upgrade != "" or (self._request is not None and self._request.method == b"CONNECT")
        return self._request_complete and not asked_to_leave
