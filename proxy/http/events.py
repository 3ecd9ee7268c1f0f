"""The one event vocabulary of all HTTP versions and both roles. Frozen; every event carries its stream id.

HTTP/1 counts its exchanges as stream ids 1, 2, 3… on each connection.
"""

from __future__ import annotations

import msgspec

from proxy.http.h2_heads import RequestHead, ResponseHead
from proxy.http.headers import Headers


class RequestReceived(msgspec.Struct, frozen=True, gc=False):
    """A request head. `path` holds path and query; `authority` is Host or the absolute-form target's authority.

    `protocol` is "HTTP/1.0" or "HTTP/1.1"…; `headers` has no pseudo header and no `host`. `end_stream`: no body
    follows. `expect_continue`: the client waits for a 100. `upgrade` is the lower-case `upgrade` header if the request
    asks to leave HTTP, else "". `head`, here and below, is the head as it came, empty if it did not come as text.
    """

    stream_id: int
    method: bytes
    scheme: bytes
    authority: bytes
    path: bytes
    protocol: str
    headers: Headers
    end_stream: bool
    expect_continue: bool = False
    upgrade: str = ""
    head: bytes = b""


class HeadReceived(msgspec.Struct, frozen=True, gc=False):
    """The head of a request of HTTP/2, for who has asked to be told such like this (`H2ServerCodec`)."""

    stream_id: int
    head: RequestHead
    end_stream: bool


class AnswerReceived(msgspec.Struct, frozen=True, gc=False):
    """A final response head of HTTP/2, for who has sent the request by `H2ClientCodec.send_whole`."""

    stream_id: int
    head: ResponseHead
    end_stream: bool


class InformationalReceived(msgspec.Struct, frozen=True, gc=False):
    """A 1xx response other than 101."""

    stream_id: int
    status: int
    headers: Headers
    head: bytes = b""


class ResponseReceived(msgspec.Struct, frozen=True, gc=False):
    """A final response head."""

    stream_id: int
    status: int
    protocol: str
    headers: Headers
    end_stream: bool
    head: bytes = b""


class DataReceived(msgspec.Struct, frozen=True, gc=False):
    """Body bytes, framing removed; never empty."""

    stream_id: int
    data: bytes


class StreamEnded(msgspec.Struct, frozen=True, gc=False):
    """The message is complete. Sent after the head or data unless that event said `end_stream`."""

    stream_id: int
    trailers: Headers | None = None


class ConnectionEnded(msgspec.Struct, frozen=True, gc=False):
    """The peer closed its side between messages (a close within one is a `CodecError`)."""

    stream_id: int = 0


class StreamReset(msgspec.Struct, frozen=True, gc=False):
    """The stream is over before its messages were; nothing of it can be sent any more. `error_code` is HTTP/2's;
    `local`: it was our codec that ended it, because of `detail`.
    """

    stream_id: int
    error_code: int
    local: bool = False
    detail: str = ""


class GoawayReceived(msgspec.Struct, frozen=True, gc=False):
    """The peer takes no new streams; those above `stream_id` it has not looked at."""

    stream_id: int
    error_code: int


Event = (
    RequestReceived
    | HeadReceived
    | AnswerReceived
    | InformationalReceived
    | ResponseReceived
    | DataReceived
    | StreamEnded
    | ConnectionEnded
    | StreamReset
    | GoawayReceived
)
