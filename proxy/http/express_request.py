"""What one request's head comes to, worked out once: a connection that sends the same header lines again pays for its
request line alone (DESIGN §4, "the same bytes mean the same thing").

Nothing here decides anything of its own. A head goes through the functions of the general path (`h1_head`, `identity`,
the client codec), and what they make of it is kept with holes: the path, the request's id, and the values of fields
that are another one with every request and that nobody on the way looks at (`express_varying`).
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from proxy.config.common import Address
from proxy.config.http1 import UpstreamHttp1Options
from proxy.errors import ProxyError
from proxy.http import express_varying, h1_connection, h1_head, header_case, request_id
from proxy.http.codec import CodecError
from proxy.http.codec_h1_client import H1ClientCodec
from proxy.http.events import RequestReceived
from proxy.http.express_upstreamed import ListedHead, WrittenHead
from proxy.http.h2_request_fields import request_fields
from proxy.http.headers import Headers
from proxy.http.identity import REQUEST_ID, Hop, Identities
from proxy.http.received import Received
from proxy.http.request import Request
from proxy.http.target import Target

_METHODS = rb"GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS"

_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*")

# RFC 9112 3: method SP origin-form SP HTTP/1.1. CONNECT is no exchange.
_LINE = re.compile(rb"(%b) (/[\x21\x22\x24-\x7e]*) HTTP/1\.1\r\n" % _METHODS)

FRAMING = frozenset({b"connection", b"expect", b"host", b"transfer-encoding", b"upgrade"})

# Options that heads are read with.
_OF_HEADS = (
    "max_headers_count",
    "accept_http_10",
    "default_host_for_http_10",
    "allow_absolute_url",
    "allow_custom_methods",
)

# What `plan` would find out at some length.
_NOT_PLAIN = re.compile(rb"(?i)(?:^|\r\n)(?:expect|http2-settings|transfer-encoding|upgrade)[^\w-]")


class Understood(NamedTuple):
    """What a head says. `content_length`: -1 if there is a body and it does not say. `closes`: the client wants no more
    than this.
    """

    event: RequestReceived
    content_length: int
    closes: bool


class Arrival:
    """A request that came in one piece, `data`: `fields` are its header lines with the final empty line, `varying` the
    values that its plan has holes for. Those of another `kind` have plans of their own.
    """

    protocol = "HTTP/1.1"
    kind = "HTTP/1.1"
    __slots__ = ("body", "data", "fields", "method", "path", "varying")

    def __init__(self, data: bytes, method: bytes, path: bytes, fields: bytes, body: bytes) -> None:
        self.data = data
        self.method = method
        self.path = path
        self.fields = fields
        self.body = body
        self.varying: tuple[bytes, ...] = ()

    def understand(self, fields: bytes, options: dict[str, Any], scheme: bytes) -> Understood | None:
        """What this head says if its header lines are `fields`; None if it is not of the plainest kind. `options` are
        the codec's.
        """
        if _NOT_PLAIN.search(fields):
            return None
        head = b"%b %b HTTP/1.1\r\n%b" % (self.method, self.path, fields)
        if len(head) > options["max_headers_bytes"]:
            return None
        remember = header_case.reader(options["header_case"])
        try:
            parsed = h1_head.parse_request(head, **{name: options[name] for name in _OF_HEADS}, remember=remember)
        except CodecError:
            return None
        headers, length = parsed.headers, parsed.content_length or 0
        if parsed.chunked or parsed.scheme:
            return None
        event = RequestReceived(
            1, parsed.method, scheme, parsed.authority, parsed.path, self.protocol, headers, not length
        )
        return Understood(event, length, h1_connection.closes(headers, parsed.version))


def split(data: bytes) -> Arrival | None:
    """The parts of `data` if it begins with a plain request line and holds a whole head."""
    line = _LINE.match(data)
    if line is None:
        return None
    end = data.find(b"\r\n\r\n", line.end() - 2) + 4
    if end < 4:
        return None
    return Arrival(data, line[1], line[2], data[line.end() : end], data[end:])


def plain_path(path: bytes | None) -> bytes | None:
    """`path` if an upstream may be sent it as it is; None if the general path has to see to it."""
    return path if path is not None and _TARGET.fullmatch(path) else None


class RequestPlan:
    """A head, understood and edited. `request.path` is its user's to set. `generates_id`: each request gets an id of
    ours. `closes`: the client wants no more than this. `internal`: it comes from inside. `received` is the head as it
    came.
    """

    __slots__ = ("_address", "_varying", "closes", "content_length", "generates_id", "internal", "received", "request")

    def __init__(
        self,
        request: Request,
        received: Received,
        *,
        internal: bool,
        address: Address | None,
        content_length: int,
        generates_id: bool,
        closes: bool,
        varying: int,
    ) -> None:
        self.request = request
        self.received = received
        self.internal = internal
        self._address = address
        self.content_length = content_length
        self.generates_id = generates_id
        self.closes = closes
        self._varying = varying  # how many values its arrivals bring

    def caller(self, hop: Hop) -> Address:
        """Who sent a request of this kind over `hop`."""
        return self._address or hop.peer.address

    def new_id(self) -> bytes:
        """An id for one request; empty if the client's own goes on."""
        return request_id.generate() if self.generates_id else b""

    def tell_path(self, headers: Headers, name: bytes) -> None:
        """Leave a hole for the path as it was, in a field `name` of `headers`."""
        headers.set(name, express_varying.mark(self._varying + 1))

    def upstreamed(self, request: Request, http1: UpstreamHttp1Options | None) -> WrittenHead | ListedHead | None:
        """The head for the upstream of `request`, which is the plan's own after the edits of filters, router and route;
        `http1` are the upstream's options, None of one that speaks HTTP/2. None if it cannot be written, which is then
        the general path's to tell."""
        headers, theirs = request.headers, self.request.headers
        # Filters have edited them since.
        length, ids = headers.get_all(b"content-length"), headers.get_all(REQUEST_ID)
        if length != theirs.get_all(b"content-length") or any(name in FRAMING for name, _ in headers):
            return None
        if self.generates_id and ids != theirs.get_all(REQUEST_ID):
            return None
        if self.generates_id:
            headers = headers.copy()
            headers.set(REQUEST_ID, express_varying.mark(self._varying))
        method, path, authority = request.method, request.path, request.authority
        try:
            if http1 is not None and self.content_length < 0:
                return None  # it would come in chunks
            if http1 is None:
                fields, _ = request_fields(method, path, authority, headers, request.told_scheme)
                return ListedHead(fields, headers, authority)
            codec = H1ClientCodec(options=http1)
            codec.send_request(method, path, authority, headers, end_stream=not self.content_length)
        except CodecError:
            return None
        return WrittenHead(codec.take_output()[len(method) + 1 + len(path) :], headers, authority)


def plan(understood: Understood, hop: Hop, identities: Identities, target: Target, varying: int) -> RequestPlan | None:
    """The plan for requests whose head says this, with `varying` values; None for whatever is not the plainest kind,
    which is no verdict on it. The caller sees to it that `target` keeps their paths.
    """
    event = understood.event
    headers = event.headers
    theirs = headers.get(REQUEST_ID)
    received, request = Received(event), Request(event)
    target.apply_to_host(request, hop.port)
    try:
        caller = identities.admit(headers, hop)
    except ProxyError:
        return None
    if identities.tells_request_id(headers, caller):
        return None
    if theirs and identities.marks_foreign_ids and not caller.internal:
        return None  # what becomes of an id depends on all of it
    ours = headers.get(REQUEST_ID)
    return RequestPlan(
        request,
        received,
        internal=caller.internal,
        address=None if caller.address is hop.peer.address else caller.address,
        closes=understood.closes,
        content_length=understood.content_length,
        generates_id=ours is not None and ours != theirs,
        varying=varying,
    )
