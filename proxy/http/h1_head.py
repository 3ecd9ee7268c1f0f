"""Message heads: found within their limit, checked, and read; h11 judges those that are not plain."""

from __future__ import annotations

from collections.abc import Callable

import h11
import msgspec

from proxy.http import h1_canonical, h1_strict, h1_target
from proxy.http.codec import CodecError
from proxy.http.h1_inbox import Inbox
from proxy.http.headers import Headers

Remember = Callable[[Headers, bytes, int], None]
"""What is to be kept of how a head was written; its fields begin at the offset. See `header_case.reader`."""

# RFC 9112 2.2: a server "SHOULD ignore at least one empty line (CRLF) received prior to the request-line". Bounded, so
# that nobody keeps a connection alive for nothing.
MAX_LEADING_EMPTY_LINES = 8


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """A checked request head. `content_length` is None without the field; `scheme` is empty unless the target says."""

    method: bytes
    scheme: bytes
    authority: bytes
    path: bytes
    version: bytes
    headers: Headers
    chunked: bool
    content_length: int | None


class ResponseHead(msgspec.Struct, frozen=True, gc=False):
    """A checked response head, final or informational."""

    status: int
    version: bytes
    headers: Headers
    chunked: bool
    content_length: int | None


class HeadReader:
    """Takes one head at a time off an inbox. Judges each octet once, as it comes, and never holds more than `limit`."""

    __slots__ = ("_empty_lines", "_inbox", "_limit", "_scanned")

    def __init__(self, inbox: Inbox, limit: int) -> None:
        self._inbox = inbox
        self._limit = limit
        self._scanned = 0
        self._empty_lines = 0

    @property
    def begun(self) -> bool:
        """Whether a part of a head has come."""
        return len(self._inbox) > 0

    def skip_empty_lines(self) -> None:
        while self._inbox.starts_with(b"\r\n"):
            self._empty_lines += 1
            if self._empty_lines > MAX_LEADING_EMPTY_LINES:
                raise h1_strict.bad_request()
            self._inbox.skip(2)
            self._scanned = 0

    def read(self) -> bytes | None:
        """The next head with its final empty line, or None if it is not complete."""
        data, start = self._inbox.view()
        found = data.find(b"\r\n\r\n", start + max(self._scanned - 3, 0), start + self._limit)
        length = found + 4 - start if found >= 0 else len(self._inbox)
        # Octets first, then size: however the bytes were cut, the same head gets the same verdict.
        h1_strict.check_octets(data, start + max(self._scanned - 1, 0), start + min(length, self._limit))
        if found < 0:
            if length >= self._limit:
                raise h1_strict.headers_too_large()
            self._scanned = length
            return None
        self._scanned = self._empty_lines = 0
        return self._inbox.take(length)


def parse_request(
    head: bytes,
    *,
    max_headers_count: int,
    accept_http_10: bool,
    default_host_for_http_10: bytes,
    allow_custom_methods: bool,
    allow_absolute_url: bool = True,
    remember: Remember | None = None,
) -> RequestHead:
    method, target, version, fields_at = h1_strict.check_request_head(head, max_headers_count=max_headers_count)
    if version == b"1.0" and not accept_http_10:
        raise CodecError("low_version", status=426, body="Upgrade Required")
    if version not in (b"1.0", b"1.1"):
        raise CodecError("http1.unsupported_version", status=505, body="HTTP Version Not Supported")
    if method not in h1_strict.KNOWN_METHODS and not allow_custom_methods:
        raise h1_strict.bad_request()
    deciding = h1_strict.Deciding(head)
    chunked = h1_strict.is_chunked(deciding, version)
    content_length = h1_strict.content_length_of(deciding.content_length)
    host = _host_of(deciding.host, b"" if version == b"1.1" else default_host_for_http_10)
    fields = h1_canonical.fields(head, fields_at)
    if fields is None:
        request = _judge(h11.Connection(h11.SERVER, max_incomplete_event_size=len(head)), head)
        if not isinstance(request, h11.Request):
            raise h1_strict.bad_request()
        target, fields = request.target, list(request.headers)
    scheme, authority, path = h1_target.parse_target(method, target, host)
    if scheme and not allow_absolute_url:
        scheme, authority, path = b"", host, target
    if method == b"CONNECT" and chunked:  # Envoy's two answers; RFC 9110 9.3.6: no content
        raise CodecError("http1.invalid_transfer_encoding", status=501, body="Not Implemented")
    if method == b"CONNECT" and content_length:
        raise h1_strict.bad_request("http1.body_disallowed")
    headers = Headers(pair for pair in fields if pair[0] not in (b"host", b"transfer-encoding"))
    if remember is not None:
        remember(headers, head, fields_at)
    return RequestHead(
        method=method,
        scheme=scheme,
        authority=authority,
        path=path,
        version=version,
        headers=headers,
        chunked=chunked,
        content_length=content_length,
    )


def parse_response(
    head: bytes, *, max_headers_count: int, upgrading: bool, remember: Remember | None = None
) -> ResponseHead:
    """`upgrading`: the request offered to leave HTTP, so that a 101 may come."""
    version, status, fields_at = h1_strict.check_response_head(head, max_headers_count=max_headers_count)
    if status == 101 and not upgrading:
        raise h1_strict.bad_request("http1.unexpected_switching_protocols")
    fields = h1_canonical.fields(head, fields_at)
    if fields is None:
        response = _judge(_h11_client(status, len(head)), head)
        if not isinstance(response, h11.Response | h11.InformationalResponse):
            raise h1_strict.bad_request()
        version, fields = response.http_version, list(response.headers)
    deciding = h1_strict.Deciding(head)
    chunked = h1_strict.is_chunked(deciding, version)
    content_length = h1_strict.content_length_of(deciding.content_length)
    if status < 200 or status == 204:  # RFC 9112 6.1 and RFC 9110 8.6: "A server MUST NOT send" either there
        if chunked:
            raise h1_strict.bad_request("http1.transfer_encoding_not_allowed")
        if content_length:
            raise h1_strict.bad_request("http1.content_length_not_allowed")
    headers = Headers(pair for pair in fields if pair[0] != b"transfer-encoding")
    if remember is not None:
        remember(headers, head, fields_at)
    return ResponseHead(
        status=status,
        version=version,
        headers=headers,
        chunked=chunked,
        content_length=content_length,
    )


def _host_of(values: list[bytes], default: bytes) -> bytes:
    """RFC 9112 3.2: 400 to a request "that lacks a Host header field and to any ... that contains more than one"."""
    if not values and default:
        return default
    if not values:
        raise CodecError("missing_host_header", status=400)
    if len(values) > 1:
        raise h1_strict.bad_request("http.invalid_authority")
    return values[0]


def _h11_client(status: int, head_size: int) -> h11.Connection:
    """An h11 client that may receive `status`. Body framing is ours, so what it was asked does not matter to it.

    It takes a final response before its request (a 408, say), but a 1xx only after one, and a 101 only if asked for.
    """
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=head_size)
    if status < 200:
        asking = [("host", "x"), ("connection", "upgrade"), ("upgrade", "x")]
        client.send(h11.Request(method="GET", target="/", headers=asking))
        client.send(h11.EndOfMessage())
    return client


def _judge(connection: h11.Connection, head: bytes) -> object:
    connection.receive_data(head)
    try:
        return connection.next_event()
    except h11.RemoteProtocolError as error:
        raise h1_strict.bad_request() from error
