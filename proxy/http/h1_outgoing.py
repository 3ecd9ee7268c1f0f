"""How an outgoing message is framed: one way only, chosen here, whatever the headers that were handed to us say."""

from __future__ import annotations

from proxy.http.codec import CodecError
from proxy.http.h1_reason import reason_phrase
from proxy.http.h1_strict import content_length_of
from proxy.http.h1_writer import BodyWriter, ChunkedWriter, NoBodyWriter, RawWriter, SizedWriter, unwritable
from proxy.http.headers import Headers

Field = tuple[bytes, bytes]

_CHUNKED: list[Field] = [(b"transfer-encoding", b"chunked")]
_EMPTY: list[Field] = [(b"content-length", b"0")]

# Envoy writes `content-length: 0` for a request without body unless its method has no defined body.
_BODILESS_METHODS = frozenset({b"GET", b"HEAD", b"DELETE", b"CONNECT", b"TRACE"})


def status_line(status: int, version: bytes = b"1.1", reason: bytes = b"") -> bytes:
    return b"HTTP/%b %d %b\r\n" % (version, status, reason or reason_phrase(status))


def frame_request(method: bytes, headers: Headers, *, end_stream: bool) -> tuple[list[Field], list[Field], BodyWriter]:
    """The fields to write, those that the framing adds, and the body's writer.

    Never Content-Length beside Transfer-Encoding (RFC 9112 6.2). Host belongs to the request line's writer.
    """
    fields = _without(headers, b"transfer-encoding", b"host")
    length = _length(headers, status=400)
    if length and (end_stream or method == b"CONNECT"):
        raise unwritable("content_length", status=400)
    if method == b"CONNECT":  # RFC 9110 9.3.6: its content has no meaning; what follows a 2xx is the tunnel
        return _without(headers, b"transfer-encoding", b"host", b"content-length"), [], NoBodyWriter()
    if length is not None:
        return fields, [], SizedWriter(length)
    if end_stream:
        return fields, [] if method in _BODILESS_METHODS else _EMPTY, SizedWriter(0)
    return fields, _CHUNKED, ChunkedWriter()


def frame_response(
    status: int, headers: Headers, *, method: bytes, version: bytes, opens_tunnel: bool, end_stream: bool
) -> tuple[list[Field], list[Field], BodyWriter]:
    """The same for a response to `method` in `version` (RFC 9112 6.1 to 6.3, RFC 9110 8.6)."""
    if opens_tunnel or status == 204:
        writer = RawWriter() if opens_tunnel else NoBodyWriter()
        return _without(headers, b"transfer-encoding", b"content-length"), [], writer
    fields = _without(headers, b"transfer-encoding")
    length = _length(headers, status=502)
    chunked = _CHUNKED if length is None and version != b"1.0" else []
    if status == 304:
        return fields, [], NoBodyWriter()
    if method == b"HEAD":  # tells of the GET that it stands for; Envoy says `chunked` too
        return fields, chunked, NoBodyWriter()
    if end_stream and length:
        raise unwritable("content_length", status=502)
    if length is not None:
        return fields, [], SizedWriter(length)
    if end_stream:
        return fields, _EMPTY, SizedWriter(0)
    # An HTTP/1.0 client knows no chunks: the body ends with the connection.
    return fields, chunked, ChunkedWriter() if chunked else RawWriter()


def _without(headers: Headers, *names: bytes) -> list[Field]:
    return [pair for pair in headers.items if pair[0] not in names]


def _length(headers: Headers, *, status: int) -> int | None:
    try:
        return content_length_of(headers.get_all(b"content-length"))
    except CodecError:
        raise unwritable("content_length", status=status) from None
