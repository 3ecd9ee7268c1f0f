"""What an HTTP/1.1 message head must look like before h11 may see it.

h11 accepts bare LF, obs-fold, control characters, any version text and Content-Length beside Transfer-Encoding. A proxy
that passes such a head on lets its two neighbours disagree about where a message ends: request smuggling. So these
checks are the law, and h11's verdict is asked after them. References are to RFC 9110, RFC 9112 and RFC 3986.

The expressions are unambiguous (no octet can match in two places), so that none backtracks: they see hostile bytes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.http.codec import CodecError

# RFC 9110 5.6.2   tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~"
#                        / DIGIT / ALPHA ;  token = 1*tchar
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
TOKEN = re.compile(_TOKEN)

# RFC 9110 5.5     field-value = *field-content ; field-vchar = VCHAR / obs-text ; SP and HTAB between them.
# "Field values containing CR, LF, or NUL characters are invalid and dangerous"; other CTLs "are also invalid".
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
VALUE = re.compile(_VALUE)

# RFC 9112 5       field-line = field-name ":" OWS field-value OWS
# 5.1: "No whitespace is allowed between the field name and colon." 5.2: a server "MUST ... reject" obs-fold (a line
# that begins with whitespace), or replace it; we reject.
FIELD_LINE = re.compile(rb"(%b):(%b)" % (_TOKEN, _VALUE))  # the value with its OWS
_FIELD_BLOCK = re.compile(rb"(?:%b:%b\r\n)*\r\n" % (_TOKEN, _VALUE))

# RFC 9112 3       request-line = method SP request-target SP HTTP-version ; single SP, as a strict reader demands
# RFC 9112 2.3     HTTP-version = HTTP-name "/" DIGIT "." DIGIT ; HTTP-name is case-sensitive
_REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/([0-9]\.[0-9])\r\n" % _TOKEN)

# RFC 9112 4       status-line = HTTP-version SP status-code SP [ reason-phrase ]
# The SP before an absent reason is often missing in the wild, and statuses above 599 are in use; both are harmless,
# since we write our own line.
_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")

# Octets that no part of a head may hold, found before the head is complete. RFC 9112 2.2: "a recipient MUST consider
# [a bare CR] as invalid", and may "recognize a single LF as a line terminator": we do not.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BAD_OCTET = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?=[^\n])|(?<!\r)\n")

# The lines that decide where a message ends and whom it is for, as they stand: h11 merges equal Content-Lengths.
_DECIDING_LINE = re.compile(rb"(?im)^(content-length|transfer-encoding|host):([^\r]*)\r$")

# RFC 9110 8.6     Content-Length = 1*DIGIT. 18 digits are an exabyte and fit every parser's signed 64-bit integer.
_CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}")

# RFC 3986 3.2.2   host = IP-literal / IPv4address / reg-name ; RFC 9110 7.2: Host = uri-host [ ":" port ]
# A comma is a sub-delim, but here it is what two merged Host lines look like: refused.
AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?")

# RFC 9112 3.2, RFC 9113 8.3.1: origin-form (no "#") or asterisk-form, as we send it. A path that says "http://…" would
# rename the host (3.2.2).
PATH = re.compile(rb"/[\x21\x22\x24-\x7e]*|\*")

# The methods that Envoy knows; others need `allow_custom_methods`.
KNOWN_METHODS = frozenset(
    b"ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH NOTIFY "
    b"OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK "
    b"UNLOCK UNSUBSCRIBE".split()
)


def bad_request(detail: str = "http1.codec_error") -> CodecError:
    """Envoy's answer to bytes that are not HTTP/1.1."""
    return CodecError(detail, status=400, body="Bad Request")


def headers_too_large() -> CodecError:
    return CodecError("http1.headers_too_large", status=431, body="Request Header Fields Too Large")


def too_many_headers() -> CodecError:
    return CodecError("http1.too_many_headers", status=431, body="Request Header Fields Too Large")


def check_octets(data: bytes | bytearray, start: int, end: int) -> None:
    """Refuse control characters, bare CR and bare LF in `data[start:end]`; a final CR may yet be followed by LF."""
    line_ends = data.count(b"\r\n", start, end)
    paired = data.count(b"\r", start, end) == line_ends == data.count(b"\n", start, end)
    if paired and not _CONTROL.search(data, start, end):  # the quick answer for what is fine
        return
    bad = _BAD_OCTET.search(data, start, end)
    if bad:
        raise bad_request("http1.codec_error" if bad[0] in (b"\r", b"\n") else "http1.invalid_characters")


class RequestLine(NamedTuple):
    """The parts of a checked request line. `fields_at` is where the field lines begin in the head."""

    method: bytes
    target: bytes
    version: bytes
    fields_at: int


class StatusLine(NamedTuple):
    """The parts of a checked status line. `fields_at` as in `RequestLine`."""

    version: bytes
    status: int
    fields_at: int


def check_request_head(head: bytes, *, max_headers_count: int) -> RequestLine:
    """Check a whole request head (final empty line included) but for its version."""
    line = _REQUEST_LINE.match(head)
    if not line:
        raise bad_request()
    _check_fields(head, line.end(), max_headers_count)
    return RequestLine(line[1], line[2], line[3], line.end())


def check_response_head(head: bytes, *, max_headers_count: int) -> StatusLine:
    """Check a whole response head."""
    line = _STATUS_LINE.match(head)
    if not line:
        raise bad_request()
    _check_fields(head, line.end(), max_headers_count)
    return StatusLine(line[1], int(line[2]), line.end())


def _check_fields(head: bytes, start: int, max_headers_count: int) -> None:
    if head.count(b"\n", start) - 1 > max_headers_count:
        raise too_many_headers()
    if not _FIELD_BLOCK.fullmatch(head, start):
        raise bad_request()


class Deciding:
    """The values of Content-Length, Transfer-Encoding and Host, one per line, unmerged."""

    __slots__ = ("content_length", "host", "transfer_encoding")

    def __init__(self, head: bytes) -> None:
        lines = [(name.lower(), value.strip(b" \t")) for name, value in _DECIDING_LINE.findall(head)]
        self.content_length = [value for name, value in lines if name == b"content-length"]
        self.transfer_encoding = [value for name, value in lines if name == b"transfer-encoding"]
        self.host = [value for name, value in lines if name == b"host"]


def content_length_of(values: list[bytes]) -> int | None:
    """RFC 9112 6.3 rule 5: invalid or repeated Content-Length is unrecoverable; Envoy refuses equal ones too."""
    if not values:
        return None
    if len(values) > 1 or not _CONTENT_LENGTH.fullmatch(values[0]):
        raise bad_request()
    return int(values[0])


def is_chunked(deciding: Deciding, version: bytes) -> bool:
    """Whether the body is chunked. Only the single coding `chunked` is understood.

    RFC 9112 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing; beside Content-Length it "might indicate an attempt
    to perform request smuggling"; an unknown coding is answered by 501.
    """
    codings = deciding.transfer_encoding
    if not codings:
        return False
    if version == b"1.0":
        raise bad_request("http1.transfer_encoding_not_allowed")
    if len(codings) > 1 or codings[0].lower() != b"chunked":
        raise CodecError("http1.invalid_transfer_encoding", status=501, body="Not Implemented")
    if deciding.content_length:
        raise bad_request("http1.content_length_and_chunked_not_allowed")
    return True
